//! Secrets in files.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use keyblind_tests::{Attack, Run, Site, Tier, held, in_each_tier, not_held};

in_each_tier!(
    Attack;
    by_name, by_other_names, by_other_calls, by_symlink, by_symlink_of_the_host, through_procfs, through_an_ancestor,
    by_every_reader, listed, other_homes, private_tmp, private_shm, dotenv_in_the_project, git_history, plant_a_hook,
    plant_an_rc_file, replace_system_files
);

/// Every secret of the home, by the name that programs use.
fn paths(site: &Site) -> Vec<PathBuf> {
    site.files.iter().map(|canary| site.home().join(canary.name)).collect()
}

fn reads(site: &Site) -> Vec<String> {
    paths(site).iter().map(|path| format!("read:{}", path.display())).collect()
}

fn by_name() -> Attack {
    Attack::access("read `~/.aws/credentials`, `~/.ssh/id_ed25519`, `~/.netrc` and five more", |site| {
        reads(site)
    })
    .cells(held("EPERM"), held("EACCES"), held("EACCES"))
    .recorded("access.denied", &[Tier::Kernel, Tier::KernelByUser, Tier::Mount])
}

fn by_other_names() -> Attack {
    Attack::access("the same with `..`, `//` and `/./` in the path, and relative to the project", |site| {
        let home = site.home().display().to_string();
        vec![
            format!("read:{home}/project/../.netrc"),
            format!("read:{home}//.netrc"),
            format!("read:{home}/./.aws/../.netrc"),
            "read:../.netrc".to_owned(),
            format!("read:/..{home}/.netrc"),
        ]
    })
    .cells(held("EPERM"), held("EACCES"), held("EACCES"))
}

fn by_other_calls() -> Attack {
    Attack::access("`openat2`, and `O_PATH` reopened through `/proc/self/fd`", |site| {
        let path = site.home().join(".netrc");
        vec![format!("openat2:{}", path.display()), format!("reopen:{}", path.display())]
    })
    .cells(held("EPERM"), held("EACCES"), held("EACCES"))
}

fn by_symlink() -> Attack {
    Attack::new("a symbolic link, made by the tool, to a link, to a secret", |site, tier| {
        let secret = site.home().join(".netrc").display().to_string();
        Run::bash(tier, &format!("ln -s {secret} a; ln -s a b; cat b"))
    })
    .cells(held("Operation not permitted"), held("Permission denied"), held("Permission denied"))
}

fn by_symlink_of_the_host() -> Attack {
    Attack::new("a symbolic link in the project that the host made", |site, tier| {
        symlink(site.home().join(".ssh"), site.project().join("keys")).expect("a link");
        Run::bash(tier, "cat keys/id_ed25519")
    })
    .cells(held("No such file"), held("Permission denied"), held("Permission denied"))
    .kernel(held("No such file"))
}

fn through_procfs() -> Attack {
    Attack::access("through `/proc/self/root`, `/proc/self/cwd` and `/proc/1/root`", |site| {
        let path = site.home().join(".netrc").display().to_string();
        vec![
            format!("read:/proc/self/root{path}"),
            "read:/proc/self/cwd/../.netrc".to_owned(),
            format!("read:/proc/1/root{path}"),
        ]
    })
    .cells(held("EPERM"), held("EACCES"), held("EACCES"))
}

/// The run's first directory could be a way out of the tree that was built for it.
fn through_an_ancestor() -> Attack {
    Attack::new("climb out: relative to a directory opened before, and `cd ..` to the top", |site, tier| {
        let secret = site.home().join(".netrc");
        let up = "../".repeat(20);
        Run::bash(
            tier,
            &format!("exec 9<.; cat /proc/self/fd/9/../.netrc; cd /; cat {up}{}", secret.display()),
        )
    })
    .cells(held("Operation not permitted"), held("Permission denied"), held("Permission denied"))
}

fn by_every_reader() -> Attack {
    Attack::new("`dd`, `cp`, `tar`, `head`, a redirection, `mmap` by `grep`", |site, tier| {
        let secret = site.home().join(".netrc").display().to_string();
        let script = format!(
            "dd if={secret}; cp {secret} copy; cat copy; tar cf - {secret}; head -c99 {secret}; (cat <{secret}); grep . {secret}"
        );
        Run::bash(tier, &script)
    })
}

fn listed() -> Attack {
    Attack::new("list the home for names and sizes that were not given", |site, tier| {
        site.write("home/.config/some-app/token-of-jo", "x");
        Run::bash(tier, "find ~ -name 'token-of-*' 2>/dev/null")
    })
    .proven_by("token-of-jo")
}

fn other_homes() -> Attack {
    Attack::new("a file outside the home that every user may read", |site, tier| {
        let secret = site.host.value.clone();
        let path = site.plant("log/shared.txt", secret);
        Run::new(tier, ["/bin/cat".into(), path])
    })
    .cells(held("No such file"), held("No such file"), held("Permission denied"))
}

/// A file of the host in a directory that everyone shares, gone with this value.
struct Shared(PathBuf);

impl Shared {
    /// Below `/var/tmp` the site itself has that name, so the file has a suffix.
    fn new(site: &Site, dir: &str) -> Self {
        let name = site.root().file_name().expect("a name").display().to_string();
        let path = PathBuf::from(dir).join(name + ".txt");
        std::fs::write(&path, &site.host.value).expect("a file of the host");
        Self(path)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("the file of the host is still there");
    }
}

fn private_tmp() -> Attack {
    Attack::new("what others left in `/tmp` and `/var/tmp`", |site, tier| {
        let shared = [Shared::new(site, "/tmp"), Shared::new(site, "/var/tmp")];
        let name = site.root().file_name().expect("a name").display().to_string();
        Run::bash(tier, &format!("cat /tmp/{name}.txt /var/tmp/{name}.txt")).beside(shared)
    })
}

fn private_shm() -> Attack {
    Attack::new("what others left in `/dev/shm`", |site, tier| {
        let shared = Shared::new(site, "/dev/shm");
        Run::new(tier, ["/bin/cat".into(), shared.0.clone()]).beside(shared)
    })
    .cells(held("No such file"), held("No such file"), held("Permission denied"))
}

fn dotenv_in_the_project() -> Attack {
    const WHY: &str = "a guarded name inside a granted tree needs the opener";
    Attack::new("read `.env` in the project", |site, tier| {
        let text = format!("SERVICE_URL=http://localhost\nSERVICE_CODE={}\n", site.host.value);
        site.plant("home/project/.env", text);
        Run::bash(tier, "cat .env")
    })
    .cells(not_held(WHY), not_held(WHY), not_held(WHY))
    .kernel(held("Permission denied"))
    .recorded("access.denied", &[Tier::Kernel, Tier::KernelByUser])
}

fn git_history() -> Attack {
    const WHY: &str = "values inside guarded files are not needles yet";
    Attack::new("read a removed `.env` out of git's history", |site, tier| {
        let text = format!("SERVICE_CODE={}\n", site.host.value);
        site.plant("home/project/.env", text);
        let commit =
            "git init -q . && git add .env && git commit -qm one && git rm -q .env && git commit -qm two";
        site.run(Run::bash(keyblind_tests::Tier::Bare, commit)).assert_code(0);
        Run::bash(tier, "git show HEAD~1:.env")
    })
    .needs(keyblind_tests::Feature::Git)
    .cells(not_held(WHY), not_held(WHY), not_held(WHY))
}

fn plant_a_hook() -> Attack {
    const WHY: &str = "write guards need the opener";
    Attack::new("plant `.git/hooks/pre-commit` for the host to run", |site, tier| {
        site.write("home/project/.git/hooks/README", "");
        Run::bash(tier, "echo 'echo planted' > .git/hooks/pre-commit")
    })
    .proven_after(|site, _| site.project().join(".git/hooks/pre-commit").exists())
    .cells(not_held(WHY), not_held(WHY), not_held(WHY))
    .kernel(held("Permission denied"))
    .recorded("access.denied", &[Tier::Kernel, Tier::KernelByUser])
}

fn plant_an_rc_file() -> Attack {
    Attack::new(
        "plant `~/.bashrc`, `~/.profile`, `~/.ssh/authorized_keys`, `~/.config/autostart` for the host",
        |site, tier| {
            site.write("home/.bashrc", "");
            let script = "for f in .bashrc .profile .ssh/authorized_keys .config/autostart/x.desktop; do \
                      mkdir -p ~/$(dirname $f); echo planted >> ~/$f; done 2>/dev/null; true";
            Run::bash(tier, script)
        },
    )
    .proven_after(|site, _| {
        let planted = [".bashrc", ".profile", ".ssh/authorized_keys", ".config/autostart/x.desktop"];
        planted.iter().any(|name| {
            std::fs::read_to_string(site.home().join(name)).unwrap_or_default().contains("planted")
        })
    })
}

/// What the user owns outside the project, in a directory that programs are looked for in.
fn replace_system_files() -> Attack {
    Attack::new("replace a program of the user's in `~/.cargo/bin`", |site, tier| {
        site.write("home/.cargo/bin/tool", "#!/bin/sh\n");
        Run::bash(
            tier,
            "echo planted >> ~/.cargo/bin/tool; rm -f ~/.cargo/bin/tool; echo planted > ~/.cargo/bin/tool",
        )
    })
    .proven_after(|site, _| {
        std::fs::read_to_string(site.home().join(".cargo/bin/tool")).unwrap_or_default().contains("planted")
    })
}
