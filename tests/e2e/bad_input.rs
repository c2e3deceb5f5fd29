//! What is wrong outside keyblind: it says what, why and what to do, in at most three lines on stderr, and leaves
//! stdout alone. And what looks wrong and is not.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use keyblind_tests::{Check, Outcome, Run, Site, Tier, contains, in_each_tier, require};

in_each_tier!(
    Check;
    unknown_key, bad_value, several_mistakes, relative_path, guard_on_a_path_that_is_not_there, write_to_a_path_that_is_not_there,
    names_that_are_not_utf8, missing_command, command_that_is_no_program, missing_layer, events_on_a_full_disk, events_to_a_device,
    events_to_a_closed_pipe, events_to_a_closed_descriptor, no_home, home_behind_a_link, deleted_directory, closed_streams
);

/// Runs a command that must not be executed. stderr is exactly `message`, in which `SITE` stands for the site's path.
#[track_caller]
fn refused(site: &Site, run: Run, code: i32, message: &str) {
    let outcome = site.run(run);
    outcome.assert_code(code);
    assert!(outcome.stdout.is_empty(), "{outcome}");
    let site = site.root().display().to_string();
    assert_eq!(String::from_utf8_lossy(&outcome.stderr).replace(&site, "SITE"), message, "{outcome}");
    assert!(message.starts_with("keyblind: ") && message.lines().count() <= 3);
}

/// Runs a command to its end, in spite of what is odd about it.
#[track_caller]
fn runs(site: &Site, run: Run) -> Outcome {
    let outcome = site.run(run);
    outcome.assert_code(0).assert_supervised();
    assert!(outcome.stderr.is_empty(), "{outcome}");
    outcome
}

/// Prints a line, which must not appear.
fn touch(tier: Tier) -> Run {
    Run::bash(tier, "echo executed")
}

/// A policy with these lines, and the option that names it.
fn policy(site: &Site, lines: &str) -> [OsString; 2] {
    let path = site.write("policy.toml", format!("version = 1\n{lines}"));
    ["--policy".into(), path.into()]
}

fn unknown_key() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let options = policy(&site, "[devices]\nalow = [\"gpu\"]\n");
        refused(
            &site,
            touch(tier).options(options),
            125,
            "keyblind: SITE/policy.toml:3:1: unknown key `alow` in [devices]\n\
             3 | alow = [\"gpu\"]\n  | ^^^^ did you mean `allow`?\n",
        );
    })
}

fn bad_value() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let options = policy(&site, "[tier]\nminimum = \"best\"\n");
        refused(
            &site,
            touch(tier).options(options),
            125,
            "keyblind: SITE/policy.toml:3:11: unknown value for `minimum` in [tier]\n\
             3 | minimum = \"best\"\n  |           ^^^^^^ expected `kernel`, `mount`, `user` or `in-place`\n",
        );
    })
}

fn several_mistakes() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let options = policy(&site, "[tier]\nminimum = \"best\"\nmaximum = \"mount\"\n[devises]\n");
        refused(
            &site,
            touch(tier).options(options),
            125,
            "keyblind: SITE/policy.toml:3:11: unknown value for `minimum` in [tier] (and 2 more: keyblind policy check SITE/policy.toml)\n\
             3 | minimum = \"best\"\n  |           ^^^^^^ expected `kernel`, `mount`, `user` or `in-place`\n",
        );
    })
}

fn relative_path() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let lines = "[[guard]]\nid = \"own\"\npath = [\"secret\"]\nreason = \"a test\"\n";
        let options = policy(&site, lines);
        refused(
            &site,
            touch(tier).options(options),
            125,
            "keyblind: SITE/policy.toml:4:9: bad value in `path` in [[guard]]\n4 | path = [\"secret\"]\n\
             \x20 |         ^^^^^^^^ `secret` is relative; write an absolute path, `~/…` or `${project}/…`\n",
        );
    })
}

/// The guards that come with keyblind name files that most hosts do not have.
fn guard_on_a_path_that_is_not_there() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let lines =
            "[[guard]]\nid = \"own\"\npath = [\"~/.no-such-file\", \"/no/such/file\"]\nreason = \"a test\"\n";
        let options = policy(&site, lines);
        let outcome = runs(&site, touch(tier).options(options));
        assert_eq!(outcome.stdout, b"executed\n");
    })
}

fn write_to_a_path_that_is_not_there() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        refused(
            &site,
            touch(tier).options(["--write", "no/such/dir"]),
            125,
            "keyblind: --write: SITE/home/project/no/such/dir is not there; create it, or take it out\n",
        );
    })
}

/// Names are bytes: of files, directories, variables and in arguments.
fn names_that_are_not_utf8() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let odd = |before: &[u8]| OsString::from_vec([before, b"\xff\xfe"].concat());
        let dir = site.project().join(odd(b"dir"));
        fs::create_dir(&dir).expect("a directory");
        site.own(&dir);
        let script =
            "printf '%s|%s|' \"$1\" \"$KEPT\"; : >\"$1\"; printf '%s' *; pwd | od -An -c | grep -c 377";
        let run = Run::new(
            tier,
            [OsString::from("/bin/bash"), "-c".into(), script.into(), "bash".into(), odd(b"arg")],
        )
        .options(["--env", "KEPT"])
        .variable("KEPT", odd(b"value"))
        .variable(odd(b"NAME"), "dropped")
        .cwd(&dir);
        let outcome = runs(&site, run);
        assert_eq!(outcome.stdout, b"arg\xff\xfe|value\xff\xfe|arg\xff\xfe1\n", "{outcome}");
        assert!(dir.join(odd(b"arg")).exists());
    })
}

fn missing_command() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        for command in ["no-such-command", "./no-such-command", "/no/such/command"] {
            let message = format!("keyblind: {command}: command not found in the run's PATH and tree\n");
            refused(&site, Run::new(tier, [command]), 127, &message);
        }
    })
}

fn command_that_is_no_program() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        site.write("home/project/notes", "not a program\n");
        for command in ["./notes", "./bin"] {
            let message =
                format!("keyblind: {command}: not executable, or not readable for the run's user\n");
            refused(&site, Run::new(tier, [command]), 126, &message);
        }
    })
}

fn missing_layer() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let options = policy(&site, "[tier]\nlayers = { bpf_lsm = \"require\" }\n");
        refused(
            &site,
            touch(tier).options(options),
            125,
            "keyblind: SITE/policy.toml:3: policy requires bpf_lsm, which this host does not give: no keyblind host serves this machine; sudo keyblind host up\n",
        );
    })
}

/// The caller opens descriptor 7, where the events shall go.
fn events_to_7(tier: Tier, script: &str) -> Run {
    events_to(tier, &format!("{script}; sink=fd:7"))
}

/// The caller's script sets `sink`, where the events shall go instead of the site's log.
fn events_to(tier: Tier, script: &str) -> Run {
    touch(tier).caller(format!("{script}; set -- \"$1\" \"$2\" --events $sink \"${{@:5}}\""))
}

fn events_on_a_full_disk() -> Check {
    Check::new(&[], |tier| {
        refused(
            &Site::new(),
            events_to_7(tier, "exec 7>/dev/full"),
            125,
            "keyblind: event log fd:7: cannot write: No space left on device; free some space there; 1 lost so far, counted\n",
        );
    })
}

fn events_to_a_device() -> Check {
    Check::new(&[], |tier| {
        refused(
            &Site::new(),
            events_to(tier, "sink=/dev/full"),
            125,
            "keyblind: event log /dev/full: /dev/full is a device, not a regular file; move it away, or name another file, or a descriptor as fd:N\n",
        );
    })
}

fn events_to_a_closed_pipe() -> Check {
    Check::new(&[], |tier| {
        // The pipe's only reader is this shell itself, which lets go of it.
        let script = "mkfifo pipe; exec 8<>pipe 7>pipe 8<&-; rm pipe";
        refused(
            &Site::new(),
            events_to_7(tier, script),
            125,
            "keyblind: event log fd:7: cannot write: Broken pipe; its reader is gone; 1 lost so far, counted\n",
        );
    })
}

fn events_to_a_closed_descriptor() -> Check {
    Check::new(&[], |tier| {
        refused(
            &Site::new(),
            events_to_7(tier, "exec 7>&-"),
            125,
            "keyblind: event log fd:7: the descriptor is not open for writing; open it first, as in 7>FILE\n",
        );
    })
}

/// Root's record is not in a home, and a run has that of its own user.
fn no_home() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let run = Run::bash(tier, "echo ~").caller("unset HOME");
        if tier == Tier::Mount {
            let outcome = runs(&site, run);
            assert_eq!(outcome.stdout, format!("{}\n", site.home().display()).as_bytes(), "{outcome}");
        } else {
            refused(
                &site,
                run,
                125,
                "keyblind: event log: neither XDG_STATE_HOME nor HOME is an absolute path; set XDG_STATE_HOME to a directory of yours\n",
            );
        }
    })
}

fn home_behind_a_link() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let link = site.root().join("link");
        symlink(site.home(), &link).expect("a link");
        let run = touch(tier).variable("HOME", &link);
        if tier == Tier::Mount {
            // The caller's HOME is not that of the run's user.
            runs(&site, run);
        } else {
            refused(
                &site,
                run.clone(),
                125,
                "keyblind: event log SITE/link/.local/state/keyblind/events.jsonl: SITE/link is a symbolic link, not a directory; put a directory there, or set XDG_STATE_HOME to one of yours by a path without links\n",
            );
            let state = site.root().join("log");
            refused(
                &site,
                run.variable("XDG_STATE_HOME", state),
                125,
                "keyblind: HOME SITE/link is reached through a symbolic link (really SITE/home); set HOME to the real path\n",
            );
        }
    })
}

fn deleted_directory() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let missing = touch(tier).options(["--cwd", "no/such/dir"]);
        refused(
            &site,
            missing,
            125,
            "keyblind: cannot use the working directory no/such/dir: No such file or directory; name another with --cwd\n",
        );
        refused(
            &site,
            touch(tier).caller("mkdir gone; cd gone; rmdir ../gone"),
            125,
            "keyblind: cannot use the working directory: it was removed; name another with --cwd\n",
        );
    })
}

/// Descriptors that the supervisor opens must not end up as the command's streams.
fn closed_streams() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        for (closing, script) in [
            ("exec <&-", "cat; echo out; echo err >&2; ls -l /proc/self/fd | wc -l"),
            ("exec >&-", "cat; echo out; echo err >&2"),
            ("exec 2>&-", "cat; echo out; echo err >&2"),
            ("exec <&- >&- 2>&-", "cat; echo out; echo err >&2; exit 0"),
        ] {
            let outcome = site.run(Run::bash(tier, script).caller(closing));
            outcome.assert_supervised().assert_code(0);
            let (out, err) = (contains(&outcome.stdout, b"out\n"), contains(&outcome.stderr, b"err\n"));
            assert_eq!(
                (out, err),
                (!closing.contains(" >&-"), !closing.contains("2>&-")),
                "{closing}\n{outcome}"
            );
            let log = fs::read(&outcome.log).expect("events");
            assert!(!contains(&log, b"\nout\n") && !contains(&log, b"\nerr\n"), "{closing}\n{outcome}");
        }
    })
}

/// A run belongs to somebody, and root is nobody's choice.
#[test]
fn root_without_a_user() {
    require!(Root);
    let site = Site::new();
    let keyblind = site.bin().join("keyblind").into_os_string();
    for (user, message) in [
        (
            None,
            "keyblind: started by root, which a run never is, and there is nobody else to be: use --user NAME, set [run] user in the policy, or `useradd --system --shell /usr/sbin/nologin keyblind`\n",
        ),
        (
            Some("root"),
            "keyblind: --user: a run is never user or group 0 of the host; name an ordinary user, with --user or in [run] user of the policy\n",
        ),
        (
            Some("no-such-user"),
            "keyblind: --user: there is no user \"no-such-user\" on this host; name one that exists, or `useradd --system no-such-user`\n",
        ),
    ] {
        let mut words = vec![keyblind.clone(), "run".into()];
        words.extend(user.into_iter().flat_map(|name| ["--user".into(), name.into()]));
        words.extend(["--", "/bin/echo", "executed"].map(OsString::from));
        refused(&site, Run::new(Tier::Bare, words).by_root(), 125, message);
    }
}
