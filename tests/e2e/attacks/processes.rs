//! Processes of the host, of the same user, that hold a secret: their variables, arguments, memory and descriptors.

use keyblind_tests::{Attack, Attempt, Cell, Feature, Run, Site, Tier, Victim, held, in_each_tier, not_held};

in_each_tier!(
    Attack;
    environ_of_another, cmdline_of_another, memory_by_procfs, memory_by_call, attach, copy_a_descriptor,
    open_a_descriptor, signal_an_outsider, root_and_cwd_of_another, listing, core_dump, late_descendant
);

/// An attempt against a process of the host that lives as long as the attempt.
fn against(site: &mut Site, tier: Tier, accesses: impl Fn(&Victim) -> Vec<String>) -> Attempt {
    let victim = Victim::start(site);
    let words = std::iter::once(site.try_access().display().to_string()).chain(accesses(&victim));
    Run::new(tier, words).beside(victim)
}

fn environ_of_another() -> Attack {
    Attack::new("read `environ` of another process of the user", |site, tier| {
        against(site, tier, |victim| vec![format!("read:/proc/{}/environ", victim.pid)])
    })
    .cells(held("ENOENT"), held("ENOENT"), held("EACCES"))
}

fn cmdline_of_another() -> Attack {
    const WHY: Cell = Cell::NotHeld("any user of the host may read it; the opener will answer for it");
    Attack::new("read `cmdline` of another process of the user", |site, tier| {
        against(site, tier, |victim| vec![format!("read:/proc/{}/cmdline", victim.pid)])
    })
    .cells(held("ENOENT"), held("ENOENT"), WHY)
}

fn memory_by_procfs() -> Attack {
    Attack::new("read `/proc/PID/mem` of another process", |site, tier| {
        against(site, tier, |victim| vec![format!("mem:{}:{}", victim.pid, victim.address)])
    })
    .cells(held("ENOENT"), held("ENOENT"), held("EACCES"))
}

fn memory_by_call() -> Attack {
    Attack::new("`process_vm_readv` on another process", |site, tier| {
        against(site, tier, |victim| vec![format!("vm-read:{}:{}", victim.pid, victim.address)])
    })
    .cells(held("EPERM"), held("EPERM"), held("EPERM"))
}

fn attach() -> Attack {
    Attack::new("attach to another process with `ptrace`", |site, tier| {
        against(site, tier, |victim| vec![format!("ptrace:{}", victim.pid)])
    })
    .proven_by(": ok")
    .cells(held("EPERM"), held("EPERM"), held("EPERM"))
}

fn copy_a_descriptor() -> Attack {
    Attack::new("copy a descriptor of another process with `pidfd_getfd`", |site, tier| {
        against(site, tier, |victim| vec![format!("pidfd-getfd:{}:{}", victim.pid, victim.fd)])
    })
    .cells(held("ESRCH"), held("ESRCH"), held("EPERM"))
}

fn open_a_descriptor() -> Attack {
    Attack::new("open `/proc/PID/fd/N` of another process", |site, tier| {
        against(site, tier, |victim| vec![format!("read:/proc/{}/fd/{}", victim.pid, victim.fd)])
    })
    .cells(held("ENOENT"), held("ENOENT"), held("EACCES"))
}

fn signal_an_outsider() -> Attack {
    Attack::new("signal a process outside the run", |site, tier| {
        against(site, tier, |victim| vec![format!("kill:{}:0", victim.pid)])
    })
    .proven_by(": ok")
    .cells(held("ESRCH"), held("ESRCH"), held("EPERM"))
    .scoped(&[Tier::InPlace])
}

fn root_and_cwd_of_another() -> Attack {
    Attack::new(
        "reach a secret through `/proc/PID/root` and `/proc/PID/cwd` of another process",
        |site, tier| {
            let secret = site.host.value.clone();
            site.plant("log/notes.txt", secret);
            let log = site.root().join("log");
            against(site, tier, move |victim| {
                let below = format!("/proc/{}", victim.pid);
                vec![
                    format!("read:{below}/cwd/notes.txt"),
                    format!("read:{below}/root{}/notes.txt", log.display()),
                ]
            })
        },
    )
    .cells(held("ENOENT"), held("ENOENT"), held("EACCES"))
}

fn listing() -> Attack {
    Attack::new("list the arguments of every process with `ps`", |site, tier| {
        let victim = Victim::start(site);
        Run::bash(tier, "ps axww -o args; ps auxeww").beside(victim)
    })
    .needs(Feature::Top)
    .cells(
        held(""),
        held(""),
        not_held("any user of the host may read it; the opener will answer for it"),
    )
}

/// What the command had in memory must not land in a file that outlives the run.
fn core_dump() -> Attack {
    Attack::new("dump core", |site, tier| {
        let secret = site.host.value.clone();
        site.plant("home/project/in.txt", secret);
        Run::bash(tier, "X=$(cat in.txt); ulimit -c unlimited; kill -SEGV $BASHPID")
            .caller("ulimit -c unlimited")
    })
    .needs(Feature::CoreFile)
    .proven_after(|site, _| !site.leaked_files().is_empty())
}

/// The run is over when its command is; what it left behind would read on.
fn late_descendant() -> Attack {
    const SCRIPT: &str = "(setsid bash -c 'exec -a \"late $1\" sleep 600' late \"$1\" </dev/null >/dev/null 2>&1 &) ; \
                          until grep -qs \"late $1\" /proc/[0-9]*/cmdline; do :; done; echo planted";
    Attack::new("leave a descendant behind: double fork, own session, no descriptors", |site, tier| {
        Run::new(tier, ["/bin/bash", "-c", SCRIPT, "bash", &mark(site)])
    })
    .proven_after(|site, outcome| {
        assert!(outcome.text().contains("planted"), "{outcome}");
        let left = processes_with(&format!("late {}", mark(site)));
        for pid in &left {
            nix::sys::signal::kill(*pid, nix::sys::signal::Signal::SIGKILL)
                .expect("the descendant can be ended");
        }
        !left.is_empty()
    })
}

fn mark(site: &Site) -> String {
    site.root().display().to_string()
}

fn processes_with(text: &str) -> Vec<nix::unistd::Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("procfs").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.starts_with(text.as_bytes()) {
            found.push(nix::unistd::Pid::from_raw(pid));
        }
    }
    found
}
