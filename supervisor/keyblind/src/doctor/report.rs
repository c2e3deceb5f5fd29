//! What `doctor` found, before it is written down, and the exit status that follows from it.

use super::selftest::{SelfTest, Verdict};
use crate::host::Person;
use crate::policy::Tier;
use crate::trial::Machine;

/// Everything that was found.
#[derive(Debug)]
pub struct Report {
    pub(super) machine: Machine,
    pub(super) policy: Option<Policy>,
    /// Whose rights a run has.
    pub(super) runs_as: Option<Person>,
    /// That is nobody: root named no user, and what follows holds for any.
    pub(super) stand_in: bool,
    pub(super) tier: Option<Tier>,
    /// The host seemed to offer a better tier, and refused it when it was tried.
    pub(super) fell_back: bool,
    pub(super) layers: Vec<Layer>,
    pub(super) promises: Vec<Promise>,
    pub(super) self_test: SelfTest,
    /// Why a run is refused.
    pub(super) refused: Option<String>,
    /// Where policy says that nothing is to be refused.
    pub(super) recording_only: Option<String>,
}

/// Which policy a run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) source: String,
    pub(super) generation: String,
}

/// One mechanism on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: &'static str,
    /// What there is.
    pub state: State,
    /// What was seen.
    pub evidence: String,
    /// What to do to get it; empty if there is nothing to do.
    pub remedy: String,
}

/// What there is of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works here.
    Available,
    /// The kernel has it and refuses it to this caller.
    NotPermitted,
    /// The kernel does not have it, or it is switched off.
    NotEnabled,
    /// Nobody offers it.
    NotRunning,
    /// It is there, and a run does not get it.
    Refused,
}

impl State {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::NotPermitted => "not permitted",
            Self::NotEnabled => "not enabled",
            Self::NotRunning => "not running",
            Self::Refused => "refused",
        }
    }
}

/// What a run here is held to, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// What is promised.
    pub what: String,
    /// Whether it holds.
    pub held: bool,
    /// By what it holds, or why it does not.
    pub note: String,
}

impl Report {
    /// 0: every promise is held. 1: enforcing, with gaps. 2: not enforcing.
    pub fn status(&self) -> u8 {
        if self.refused.is_some()
            || self.recording_only.is_some()
            || self.self_test.verdict() != Verdict::Held
        {
            return 2;
        }
        u8::from(self.gaps() > 0)
    }

    /// Promises that are not held.
    pub(super) fn gaps(&self) -> usize {
        self.promises.iter().filter(|promise| !promise.held).count()
            + usize::from(!self.self_test.all_recorded())
    }

    /// The result in words.
    pub(super) fn result(&self) -> String {
        if let Some(why) = &self.refused {
            return format!("not enforcing: a run is refused: {why}");
        }
        match self.self_test.verdict() {
            Verdict::Leaked => return "not enforcing: the self-test leaked".to_owned(),
            Verdict::NotRun(_) => return "not known to enforce: the self-test could not run".to_owned(),
            Verdict::Held => {}
        }
        if let Some(origin) = &self.recording_only {
            return format!("recording only: mode = \"audit\" ({origin})");
        }
        match self.gaps() {
            0 => "enforcing; every promise held".to_owned(),
            1 => "enforcing; 1 promise not held on this host".to_owned(),
            more => format!("enforcing; {more} promises not held on this host"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn report() -> Report {
        Report {
            machine: Machine {
                distribution: "Debian GNU/Linux 12 (bookworm)".into(),
                kernel: "6.18.0".into(),
                user: "jo (1000)".into(),
                container: Vec::new(),
                traces: Vec::new(),
            },
            policy: Some(Policy { source: "built-in default".into(), generation: "3f9c".into() }),
            runs_as: None,
            stand_in: false,
            fell_back: false,
            tier: Some(Tier::User),
            layers: Vec::new(),
            promises: vec![Promise { what: "files".into(), held: true, note: "absent".into() }],
            self_test: SelfTest::held_for_tests(),
            refused: None,
            recording_only: None,
        }
    }

    #[test]
    fn the_status_says_whether_a_run_is_held() {
        let check = |change: fn(&mut Report), status: u8, result: &str| {
            let mut report = report();
            change(&mut report);
            assert_eq!((report.status(), report.result().as_str()), (status, result));
        };
        fn gap() -> Promise {
            Promise { what: "audit".into(), held: false, note: "needs tier kernel".into() }
        }
        check(|_| {}, 0, "enforcing; every promise held");
        check(|report| report.promises.push(gap()), 1, "enforcing; 1 promise not held on this host");
        check(
            |report| report.promises.extend([gap(), gap()]),
            1,
            "enforcing; 2 promises not held on this host",
        );
        check(|report| report.self_test.lose_an_event(), 1, "enforcing; 1 promise not held on this host");
        check(|report| report.self_test.leak(), 2, "not enforcing: the self-test leaked");
        check(
            |report| report.refused = Some("policy asks for tier mount".into()),
            2,
            "not enforcing: a run is refused: policy asks for tier mount",
        );
        check(
            |report| report.recording_only = Some("/etc/keyblind/policy.toml:3".into()),
            2,
            "recording only: mode = \"audit\" (/etc/keyblind/policy.toml:3)",
        );
        check(
            |report| report.self_test = SelfTest::not_run("cannot make /tmp/x".into()),
            2,
            "not known to enforce: the self-test could not run",
        );
    }
}
