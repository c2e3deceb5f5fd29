//! What a command finds when it starts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use keyblind_tests::{Check, Feature, Outcome, Run, Site, Tier, contains, in_each_tier};

in_each_tier!(
    Check;
    arguments_are_passed_on, only_kept_variables, a_kept_variable_by_option, the_reaper_is_its_parent, nothing_to_gain,
    its_ids_are_the_users, no_group_of_the_caller, a_fresh_tree, a_fresh_procfs, settings_of_the_kernel_are_read_only,
    mounts_do_not_propagate, limits, a_core_limit_that_stops_pipes_too, an_unknown_call_is_not_there, a_private_network,
    a_run_inside_a_run, caches_end_with_the_run, umask_and_directory
);

fn bash(tier: Tier, script: &str) -> (Site, Outcome) {
    let site = Site::new();
    let outcome = site.run(Run::bash(tier, script));
    outcome.assert_supervised();
    (site, outcome)
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

fn arguments_are_passed_on() -> Check {
    Check::new(&[], |tier| {
        let odd = OsString::from_vec(b"not \xff utf-8".to_vec());
        let words = [
            "/bin/bash".into(),
            "-c".into(),
            "printf '%s|' \"$0\" \"$@\"".into(),
            "a".into(),
            "".into(),
            odd,
            "--".into(),
            "-x\n$HOME'\"".into(),
        ];
        let site = Site::new();
        let outcome = site.run(Run::new(tier, words));
        assert_eq!(outcome.stdout, b"a||not \xff utf-8|--|-x\n$HOME'\"|", "{outcome}");
        let started = &outcome.events_of("run.started")[0]["started"]["command"];
        assert_eq!(started[5]["bytes"], "bm90IP8gdXRmLTg=", "{started}");
    })
}

/// The site's variables and what bash makes by itself; nothing else of the caller's.
fn only_kept_variables() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let run = Run::new(tier, ["/usr/bin/env"])
            .variable("MY_SETTING", "x")
            .variable("LC_TIME", "C")
            .variable("EDITOR", "vi; rm -rf /")
            .variable("HTTP_PROXY", "http://jo:word@proxy.invalid")
            .variable("HTTPS_PROXY", "http://proxy.invalid:3128")
            .variable("LD_LIBRARY_PATH", "/nowhere")
            .variable("GIT_SSH_COMMAND", "false");
        let outcome = site.run(run);
        outcome.assert_code(0).assert_supervised().assert_clean(&site);
        let text = stdout(&outcome);
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        for kept in [
            "HOME",
            "PATH",
            "LANG",
            "LC_TIME",
            "TERM",
            "USER",
            "HTTPS_PROXY",
            "HISTFILE",
            "GIT_TERMINAL_PROMPT",
        ] {
            assert!(names.contains(&kept), "{kept} is missing: {names:?}");
        }
        let dropped = [
            "MY_SETTING",
            "EDITOR",
            "HTTP_PROXY",
            "LD_LIBRARY_PATH",
            "GIT_SSH_COMMAND",
            "OPENAI_API_KEY",
            "FROBNICATION",
        ];
        for name in dropped {
            assert!(!names.contains(&name), "{name} came through");
        }
        assert!(
            text.contains("HISTFILE=/dev/null\n")
                && text.contains(&format!("HOME={}\n", site.home().display())),
            "{text}"
        );
    })
}

fn a_kept_variable_by_option() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let run = Run::bash(tier, "echo $MY_SETTING $OTHER").options([
            "--env",
            "MY_SETTING",
            "--redact-env",
            "OTHER",
        ]);
        let outcome = site.run(run.variable("MY_SETTING", "kept").variable("OTHER", "a-value-to-hide"));
        outcome.assert_supervised();
        assert_eq!(stdout(&outcome), "kept\n", "{outcome}");
        let run = Run::bash(tier, "echo a-value-to-hide").options(["--redact-env", "OTHER"]);
        let outcome = site.run(run.variable("OTHER", "a-value-to-hide"));
        assert_eq!(stdout(&outcome), "[REDACTED:OTHER]\n", "{outcome}");
    })
}

fn the_reaper_is_its_parent() -> Check {
    Check::new(&[], |tier| {
        let script = "echo parent $PPID $(cat /proc/$PPID/comm); read -r -a s </proc/$$/stat; echo group $((s[4] == $$)); cat /proc/1/comm; tr -d '\\0' </proc/1/environ | wc -c";
        let (_site, outcome) = bash(tier, script);
        let text = stdout(&outcome);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("keyblind-reaper") || tier == Tier::InPlace, "{text}");
        assert_eq!(lines[1], "group 1", "its own process group: {text}");
        if tier != Tier::InPlace {
            assert!(lines[0].starts_with("parent 1 ") && lines[2].starts_with("keyblind-reaper"), "{text}");
            assert!(lines.get(3).is_none_or(|bytes| *bytes == "0"), "the reaper has variables: {text}");
        }
    })
}

/// No capability in any set, a filter, and no way to more.
fn nothing_to_gain() -> Check {
    Check::new(&[], |tier| {
        let (_site, outcome) = bash(tier, "cat /proc/self/status");
        let text = stdout(&outcome);
        let field = |name: &str| {
            let line =
                text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            line.split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        let sets: &[&str] = match tier {
            // The bounding set takes a capability to lower; with no_new_privs nothing comes of it.
            Tier::InPlace => &["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"],
            _ => &["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"],
        };
        for set in sets {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("Seccomp:"), "2");
    })
}

fn its_ids_are_the_users() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let bare = site.run(Run::bash(Tier::Bare, "id -u; id -g; id -un"));
        let outcome = site.run(Run::bash(
            tier,
            "id -u; id -g; id -un; cat /proc/self/uid_map; cat /proc/self/status | grep -E '^(U|G)id'",
        ));
        let text = stdout(outcome.assert_code(0));
        assert!(text.starts_with(&stdout(&bare)) && !text.starts_with('0'), "{text}");
        if tier == Tier::User {
            let id = text.lines().next().unwrap_or_default();
            let map: Vec<&str> = text.lines().nth(3).unwrap_or_default().split_whitespace().collect();
            assert_eq!(map, [id, id, "1"], "ids map to themselves");
        }
    })
}

/// Root can drop the caller's groups; an ordinary user cannot, and then the record says that they stay.
fn no_group_of_the_caller() -> Check {
    Check::new(&[Feature::Root], |tier| {
        let site = Site::new();
        let outcome = site.run(Run::bash(tier, "cat /proc/self/status").groups(&[4, 27]));
        outcome.assert_supervised();
        let text = stdout(&outcome);
        let groups = text.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or("?");
        if tier == Tier::Mount {
            assert_eq!(groups.trim(), "", "{text}");
        } else {
            let started = outcome.events_of("run.started");
            assert!(started[0]["started"]["not_enforced"].to_string().contains("group"), "{}", started[0]);
        }
    })
}

fn a_fresh_tree() -> Check {
    Check::new(&[], |tier| {
        let script = "for d in /root /home/* /srv /mnt /media /boot /var/lib /var/log /run/user /run/systemd /run/dbus /sys/fs/cgroup /sys/kernel/debug; do \
                      [ -n \"$(ls -A $d 2>/dev/null)\" ] && echo \"seen $d\"; done; ls -A /run; \
                      for f in /dev/mem /dev/kmsg /dev/vda /dev/sda /dev/fuse /dev/kvm /dev/console; do (: <$f) 2>/dev/null && echo opened $f; done; true";
        let (_site, outcome) = bash(tier, script);
        assert_eq!(stdout(&outcome), "", "{outcome}");
    })
}

fn a_fresh_procfs() -> Check {
    Check::new(&[], |tier| {
        let (_site, outcome) = bash(
            tier,
            "ls -d /proc/[0-9]* | wc -l; for f in kcore kallsyms keys timer_list sched_debug; do head -c1 /proc/$f; done 2>/dev/null | wc -c",
        );
        let text = stdout(&outcome);
        let mut numbers = text.lines().filter_map(|line| line.trim().parse::<u32>().ok());
        let (processes, bytes) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1));
        if tier != Tier::InPlace {
            assert!(processes <= 5, "{text}");
            assert_eq!(bytes, 0, "files of the kernel are readable: {text}");
        }
    })
}

fn settings_of_the_kernel_are_read_only() -> Check {
    Check::new(&[], |tier| {
        let script = "for f in sys/kernel/core_pattern sys/kernel/modprobe sys/vm/drop_caches sysrq-trigger; do \
                      (: >>/proc/$f) 2>/dev/null && echo \"opened $f\"; done; grep -E ' /proc/(sys|sysrq-trigger|irq|bus|fs) ' /proc/self/mountinfo | grep -vE ' ro,' ; true";
        let (_site, outcome) = bash(tier, script);
        assert_eq!(stdout(&outcome), "", "{outcome}");
        if tier == Tier::Mount {
            let (_site, outcome) = bash(tier, "grep -c ' /proc/sys ro,' /proc/self/mountinfo");
            assert_eq!(stdout(&outcome), "1\n", "{outcome}");
        }
    })
}

/// A mount that the host makes later must not appear in the run.
fn mounts_do_not_propagate() -> Check {
    Check::new(&[], |tier| {
        let (_site, outcome) =
            bash(tier, "grep -cE '(shared|master):' /proc/self/mountinfo; grep -c . /proc/self/mountinfo");
        let text = stdout(&outcome);
        assert!(tier == Tier::InPlace || text.starts_with("0\n"), "{text}");
    })
}

fn limits() -> Check {
    Check::new(&[], |tier| {
        let (_site, outcome) = bash(tier, "ulimit -Hn; ulimit -Hu");
        let text = stdout(&outcome);
        let numbers: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        assert!(numbers.len() == 2 && numbers[0] <= 8192 && numbers[1] <= 4096, "{text}");
    })
}

/// core(5): with a limit of 0 a dump that goes to a program is written nevertheless; with 1 it is not.
fn a_core_limit_that_stops_pipes_too() -> Check {
    Check::new(&[], |tier| {
        let (_site, outcome) = bash(tier, "grep 'core file' /proc/self/limits");
        let text = stdout(&outcome);
        let fields: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(fields[4..6], ["1", "1"], "{text}");
    })
}

/// Programs fall back from a call that is not there, not from one that is refused.
fn an_unknown_call_is_not_there() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let program = site.try_access();
        let outcome = site.run(Run::new(tier, [program.as_os_str(), "unknown-call".as_ref()]));
        assert_eq!(stdout(&outcome), "unknown-call: ENOSYS\n", "{outcome}");
    })
}

/// `--net none` has no way out at all, `loopback` only itself.
fn a_private_network() -> Check {
    Check::new(&[Feature::Curl], |tier| {
        let site = Site::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let script = format!("(: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo reached; true");
        let open = site.run(Run::bash(tier, &script));
        assert_eq!(stdout(&open), "reached\n", "{open}");
        for mode in ["none", "loopback"] {
            let outcome = site.run(Run::bash(tier, &script).options(["--net", mode]));
            if tier == Tier::InPlace {
                outcome.assert_code(125);
            } else {
                assert_eq!(stdout(outcome.assert_code(0)), "", "{outcome}");
            }
        }
    })
}

fn a_run_inside_a_run() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let inside = site.project().join("bin/keyblind");
        std::fs::copy(keyblind_tests::binary(), &inside).expect("a copy in the project");
        let outcome = site
            .run(Run::new(tier, [inside.as_os_str(), "run".as_ref(), "--".as_ref(), "/bin/true".as_ref()]));
        outcome.assert_code(125).assert_supervised();
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(said.starts_with("keyblind: ") && said.lines().count() <= 3, "{outcome}");
    })
}

fn caches_end_with_the_run() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        site.write("home/.cache/tool/old", "old\n");
        let script = "cat ~/.cache/tool/old; echo new >~/.cache/tool/old && echo new >~/.cache/tool/new && cat ~/.cache/tool/*";
        let outcome = site.run(Run::bash(tier, script));
        let text = stdout(&outcome);
        if tier == Tier::InPlace {
            assert!(text.starts_with("old\n"), "{outcome}");
        } else {
            assert_eq!(text, "old\nnew\nnew\n", "{outcome}");
        }
        let left = std::fs::read_to_string(site.home().join(".cache/tool/old")).expect("the host's file");
        assert_eq!(left, "old\n");
        assert!(!site.home().join(".cache/tool/new").exists());
    })
}

fn umask_and_directory() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        site.write("home/project/deep/er/x", "");
        let inner = site.project().join("deep/er");
        let run = Run::bash(tier, "pwd; umask; echo \"$OLDPWD\"; touch made; stat -c %a made")
            .caller("umask 027")
            .cwd(inner.clone());
        let outcome = site.run(run);
        let text = stdout(outcome.assert_code(0));
        assert!(
            contains(text.as_bytes(), format!("{}\n0027\n\n640\n", inner.display()).as_bytes()),
            "{outcome}"
        );
    })
}
