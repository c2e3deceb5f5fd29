//! What the hostile tool tries, in the order of the page.

use keyblind_events::Tier;

/// One row.
#[derive(Debug)]
pub(super) struct Attack {
    /// The first column.
    pub(super) title: &'static str,
    /// What sh(1) executes. `$0` is the pid of a process of the same user that holds the keys.
    pub(super) script: &'static str,
    /// Programs that it needs besides sh and the coreutils.
    pub(super) needs: &'static [&'static str],
    /// Where the fakes are that it is after.
    pub(super) prey: Prey,
    /// What a success is called.
    pub(super) success: Success,
    /// The guard or key of policy that is to stop it.
    pub(super) concern: &'static str,
    /// By what it is stopped where no event says so.
    pub(super) by: fn(Tier) -> &'static str,
}

/// Which fakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prey {
    /// The caller's variables.
    Variables,
    /// `~/.aws/credentials`
    Credentials,
    /// `.env` in the project.
    DotEnv,
    /// `.env.local`, which is written when the tool has begun.
    LateDotEnv,
    /// `.env` as it was committed once.
    History,
    /// The value of OPENAI_API_KEY in a file that nothing guards.
    Notes,
    /// What the metadata service answers.
    Metadata,
    /// Nothing to read: the repository's hooks.
    Hooks,
}

/// What a success is called, and counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Success {
    Keys,
    Key,
    Times,
    Decodes,
    Reached,
    Planted,
}

/// Reads a file once, prints it, and prints its hash: output that was redacted on its way does not hide that the file
/// was read.
macro_rules! show {
    ($names:literal) => {
        concat!(
            "for f in ",
            $names,
            r#"; do c=$(cat "$f") && printf '%s\n' "$c" && printf '%s\n' "$c" | sha256sum; done"#
        )
    };
}

pub(super) const ALL: &[Attack] = &[
    Attack {
        title: "print its environment (5 keys)",
        script: "env",
        needs: &[],
        prey: Prey::Variables,
        success: Success::Keys,
        concern: "variables",
        by: |_| "variables.keep",
    },
    Attack {
        title: "cat /proc/self/environ",
        script: "cat /proc/self/environ",
        needs: &[],
        prey: Prey::Variables,
        success: Success::Keys,
        concern: "procfs.environ",
        by: |_| "variables.keep",
    },
    Attack {
        title: "cat /proc/$PPID/environ, /proc/1/environ",
        script: r#"sh -c 'cat /proc/$PPID/environ /proc/1/environ /proc/$0/environ' "$0"; exit"#,
        needs: &[],
        prey: Prey::Variables,
        success: Success::Keys,
        concern: "procfs.environ",
        by: |tier| if tier == Tier::InPlace { "Landlock domain" } else { "own PID namespace" },
    },
    Attack {
        title: "cat ~/.aws/credentials",
        script: show!("~/.aws/credentials"),
        needs: &[],
        prey: Prey::Credentials,
        success: Success::Key,
        concern: "aws.credentials",
        by: |_| "not in the run's tree",
    },
    Attack {
        title: "cat .env by symlink, hard link, /proc/self/root",
        script: concat!("ln -sf .env soft; ln -f .env hard; ", show!("soft hard /proc/self/root$PWD/.env")),
        needs: &[],
        prey: Prey::DotEnv,
        success: Success::Times,
        concern: "project.dotenv",
        by: |_| "identity, not path",
    },
    Attack {
        title: ".env.local that appears while it runs",
        script: concat!("echo ready; read _; ", show!(".env.local")),
        needs: &[],
        prey: Prey::LateDotEnv,
        success: Success::Key,
        concern: "project.dotenv",
        by: |_| "guard project.dotenv",
    },
    Attack {
        title: "git show HEAD~1:.env",
        script: "git --no-pager show HEAD~1:.env",
        needs: &["git"],
        prey: Prey::History,
        success: Success::Key,
        concern: "project.dotenv",
        by: |_| "",
    },
    Attack {
        title: "print a planted key",
        script: "cat notes.txt",
        needs: &[],
        prey: Prey::Notes,
        success: Success::Key,
        concern: "redact",
        by: |_| "",
    },
    Attack {
        title: "… in base64, at offset 2",
        script: "(printf xy; cat notes.txt) | base64 -w 0",
        needs: &[],
        prey: Prey::Notes,
        success: Success::Decodes,
        concern: "redact",
        by: |_| "",
    },
    Attack {
        title: "… one byte every 10 ms",
        script: r"n=$(wc -c < notes.txt); i=1; while [ $i -le $n ]; do tail -c +$i notes.txt | head -c 1; sleep 0.01; i=$((i + 1)); done",
        needs: &[],
        prey: Prey::Notes,
        success: Success::Key,
        concern: "redact",
        by: |_| "",
    },
    Attack {
        title: "curl 169.254.169.254",
        script: "curl -sS --noproxy '*' --max-time 5 http://169.254.169.254/latest/meta-data/iam/security-credentials/agent",
        needs: &["curl", "ip"],
        prey: Prey::Metadata,
        success: Success::Reached,
        concern: "network.deny",
        by: |_| "network.deny",
    },
    Attack {
        title: "plant .git/hooks/pre-commit",
        script: r"mkdir -p .git/hooks && printf '#!/bin/sh\n' > .git/hooks/pre-commit",
        needs: &["git"],
        prey: Prey::Hooks,
        success: Success::Planted,
        concern: "git.exec",
        by: |_| "guard git.exec",
    },
];
