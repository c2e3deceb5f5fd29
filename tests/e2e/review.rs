//! Ways round a run, or ways to be refused one, that were there once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use keyblind_tests::{Check, Feature, Run, Site, Tier, in_each_tier, require};

in_each_tier!(
    Check;
    broken_cache, unix_sockets, guarded_file_behind_a_link, directory_with_the_record, loop_over_a_file, lower_limits
);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `sudo -u` keeps HOME in places, and so does a daemon: root's own home must not become that of a number.
#[test]
fn a_number_does_not_get_the_home_of_root() {
    require!(Root);
    let mut site = Site::new();
    let home = site.root().join("log-of-root");
    let value = site.host.value.clone();
    site.plant("log-of-root/.gitconfig", format!("[user]\n\tname = {value}\n"));
    let keyblind = site.bin().join("keyblind").display().to_string();
    let script = "echo \"home $HOME\"; cat $HOME/.gitconfig";
    let words = [&keyblind, "run", "--user", "4242", "--", "/bin/sh", "-c", script];
    let outcome = site.run(Run::new(Tier::Bare, words).by_root().variable("HOME", &home));
    outcome.assert_clean(&site);
    assert_eq!(text(&outcome.stdout), "home /\n", "{outcome}");
}

/// What the user cannot look up by a name, root must not bring into the run because the user made a link to it.
#[test]
fn links_of_the_user_are_not_followed_by_root() {
    require!(Root);
    let mut site = Site::new();
    let value = site.host.value.clone();
    let secret = site.plant("log-of-root/open/secret", &value);
    let dir = secret.parent().expect("a directory").to_owned();
    for (path, mode) in [(&secret, 0o644), (&dir, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let home = site.home();
    for name in [".npm", ".cache", ".cargo", ".rustup", ".config/git"] {
        let link = home.join(name);
        assert!(!link.exists(), "{name} is planted");
        symlink(&dir, link).expect("a link");
    }
    fs::remove_file(home.join(".gitconfig")).expect("a file of the site");
    symlink(&secret, home.join(".gitconfig")).expect("a link");
    let script = "cat ~/.gitconfig; for d in .npm .cache .cargo .rustup .config/git; do cat ~/$d/secret; done; echo tried";
    let outcome = site.run(Run::bash(Tier::Mount, script));
    outcome.assert_supervised().assert_clean(&site);
    assert_eq!(text(&outcome.stdout), "tried\n", "{outcome}");
}

/// Some people switch a cache off like this.
fn broken_cache() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        symlink("/dev/null", site.home().join(".npm")).expect("a link");
        symlink("nowhere", site.home().join(".cargo")).expect("a link");
        let outcome = site.run(Run::bash(tier, "echo executed"));
        outcome.assert_code(0).assert_supervised();
        assert_eq!((text(&outcome.stdout), text(&outcome.stderr)), ("executed\n".into(), String::new()));
    })
}

/// Without namespaces a path socket or an abstract one leads to the host's services.
fn unix_sockets() -> Check {
    Check::new(&[Feature::Python3], |tier| {
        const MAKE: &str = "import socket\n\
                            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n \
                            try: socket.socket(socket.AF_UNIX, kind); print('made')\n \
                            except OSError as error: print(error.strerror)\n";
        let site = Site::new();
        let outcome = site.run(Run::new(tier, ["/usr/bin/python3", "-c", MAKE]));
        outcome.assert_code(0).assert_supervised();
        let each =
            if tier == Tier::InPlace { "Address family not supported by protocol\n" } else { "made\n" };
        assert_eq!(text(&outcome.stdout), each.repeat(2), "{outcome}");
    })
}

/// People keep their settings in a repository and link to them. In place nothing can be left out of a tree that the
/// run may read, and then the record says so.
fn guarded_file_behind_a_link() -> Check {
    Check::new(&[], |tier| {
        let mut site = Site::new();
        let value = site.canary(".aws/credentials").value.clone();
        fs::remove_dir_all(site.home().join(".aws")).expect("a directory of the site");
        site.plant("home/project/settings/credentials", format!("secret = {value}\n"));
        symlink("project/settings", site.home().join(".aws")).expect("a link");
        let script = "cat settings/credentials ~/.aws/credentials; echo tried";
        let outcome = site.run(Run::bash(tier, script));
        outcome.assert_supervised();
        if tier == Tier::InPlace {
            let started = &outcome.events_of("run.started")[0]["started"]["not_enforced"];
            assert!(started.to_string().contains("project/settings"), "{started}");
        } else {
            outcome.assert_clean(&site);
            assert_eq!(text(&outcome.stdout), "tried\n", "{outcome}");
        }
    })
}

/// A run that may change its directory could change its own record.
fn directory_with_the_record() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let state = site.root().join("log");
        let run = Run::bash(tier, "echo executed").variable("XDG_STATE_HOME", &state);
        let dir = if tier == Tier::Mount { Path::new("/var/lib") } else { &state };
        let outcome = site.run(run.options([Path::new("--cwd"), dir]));
        outcome.assert_code(125);
        let message = format!(
            "keyblind: the working directory {} holds keyblind's own log or policy, which no run may change; start it in a project directory, or name one with --cwd\n",
            dir.display()
        );
        assert_eq!((text(&outcome.stdout), text(&outcome.stderr)), (String::new(), message));
    })
}

/// What the command does not read of a file stays for whoever shares the descriptor.
fn loop_over_a_file() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        site.write("home/project/list", "one\ntwo\nthree\n");
        let script = "while read -r line; do \"$@\" || exit; echo \"line $line\"; done <list; exit 0";
        let outcome = site.run(Run::new(tier, ["/bin/true"]).caller(script));
        outcome.assert_code(0);
        assert_eq!(text(&outcome.stdout), "line one\nline two\nline three\n", "{outcome}");
        assert_eq!(outcome.events_of("run.ended").len(), 3, "{outcome}");
    })
}

/// A limit of policy is the most that a run gets; a caller that has less is no reason to refuse.
fn lower_limits() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let run = Run::bash(tier, "ulimit -n; ulimit -Hn; ulimit -Hu; ulimit -Hc")
            .caller("ulimit -n 256; ulimit -u 2000; ulimit -c 0");
        let outcome = site.run(run);
        outcome.assert_code(0).assert_supervised();
        assert_eq!(text(&outcome.stdout), "256\n256\n2000\n0\n", "{outcome}");
    })
}
