//! What the caller has open when it starts a run, and the terminal that it sits at.

use keyblind_tests::{Attack, Run, held, in_each_tier};

in_each_tier!(
    Attack;
    inherited_file, inherited_directory, stdin_is_a_file, inherited_listed, capabilities
);

/// A caller that was careless: a secret open on descriptor 7.
fn inherited_file() -> Attack {
    Attack::new("read an inherited descriptor of a secret", |site, tier| {
        let program = site.try_access();
        Run::new(tier, [program.as_os_str(), "read-fd:7".as_ref()]).caller("exec 7<~/.netrc")
    })
    .cells(held("EBADF"), held("EBADF"), held("EBADF"))
}

fn inherited_directory() -> Attack {
    Attack::new("open a secret relative to an inherited directory", |_, tier| {
        Run::bash(tier, "cat /proc/self/fd/8/.netrc").caller("exec 8<~")
    })
    .cells(held("No such file"), held("No such file"), held("No such file"))
}

/// A file that is open for writing on the caller's stdin takes what is written to descriptor 0, past any redactor.
fn stdin_is_a_file() -> Attack {
    Attack::new("write to stdin, where the caller's is a file open for both", |site, tier| {
        site.write("log/both.txt", "");
        let program = site.try_access();
        let caller = format!("exec 0<>{}/log/both.txt", site.root().display());
        Run::new(tier, [program.as_os_str(), "write-fd:0:written".as_ref()]).caller(caller)
    })
    .proven_after(|site, _| {
        std::fs::read_to_string(site.root().join("log/both.txt")).unwrap_or_default().contains("written")
    })
    .cells(held("EBADF"), held("EBADF"), held("EBADF"))
}

/// More descriptors than the three of its own would be the caller's.
fn inherited_listed() -> Attack {
    Attack::new("find any descriptor beside stdin, stdout and stderr", |_, tier| {
        Run::bash(
            tier,
            "for f in /proc/$$/fd/*; do case ${f##*/} in 0|1|2|255) ;; *) echo more ${f##*/};; esac; done",
        )
        .caller("exec 5</etc/hostname 77</etc/hostname 200</etc/hostname")
    })
    .proven_by("more 77")
}

fn capabilities() -> Attack {
    Attack::new("gain privileges by a set-user-ID program", |_, tier| {
        Run::bash(tier, "grep -q 'NoNewPrivs:.*0' /proc/self/status && echo may gain")
    })
    .proven_by("may gain")
}
