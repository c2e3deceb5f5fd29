//! Processes of the host that would read on the run's behalf, and what the kernel keeps for a user.

use keyblind_tests::{Attack, Attempt, Run, Site, Tier, Victim, held, in_each_tier};

in_each_tier!(
    Attack;
    abstract_socket, path_socket, system_v_memory, message_queue, user_keyring
);

fn against(site: &mut Site, tier: Tier, access: impl Fn(&Site, &Victim) -> String) -> Attempt {
    let victim = Victim::start(site);
    let access = access(site, &victim);
    Run::new(tier, [site.try_access().display().to_string(), access]).beside(victim)
}

fn abstract_socket() -> Attack {
    Attack::new("connect to an abstract Unix socket", |site, tier| {
        against(site, tier, |_, victim| format!("abstract:kb-{}", victim.pid))
    })
    .cells(held("EPERM"), held("EPERM"), held("EAFNOSUPPORT"))
    // EACCES by the programs where Landlock has no scopes and does not answer first.
    .kernel(held(""))
    .scoped(&[Tier::Mount, Tier::User])
}

fn path_socket() -> Attack {
    Attack::new("connect to a Unix socket by its path", |site, tier| {
        against(site, tier, |site, _| format!("unix:{}", site.root().join("log/victim.sock").display()))
    })
    .cells(held("ENOENT"), held("ENOENT"), held("EAFNOSUPPORT"))
}

fn system_v_memory() -> Attack {
    Attack::new("attach a System V segment of another process", |site, tier| {
        against(site, tier, |_, victim| format!("shm:{}", victim.pid))
    })
    .cells(held("ENOENT"), held("ENOENT"), held("EPERM"))
}

fn message_queue() -> Attack {
    Attack::new("receive from a POSIX message queue of another process", |site, tier| {
        against(site, tier, |_, victim| format!("mq:kb-{}", victim.pid))
    })
    .cells(held("ENOENT"), held("ENOENT"), held("EPERM"))
}

fn user_keyring() -> Attack {
    Attack::new("read a key of the user's keyring", |site, tier| {
        against(site, tier, |_, victim| format!("key:kb-{}", victim.pid))
    })
    .cells(held("EPERM"), held("EPERM"), held("EPERM"))
}
