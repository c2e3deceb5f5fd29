//! A real run that tries to get at canaries, and what came of it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyblind_events::{Errno, Event, Kind, SessionId};

use super::Options;
use super::inside::MARK;
use crate::host::Person;
use crate::plan::Plan;
use crate::policy::{Access, Action, Base, Loaded, Mode, Policy, Tier};
use crate::trial::{Canary, Observed, Place, PlaceError, Stage, random_word};

/// The variable that holds a canary; its name says that it is secret.
pub(super) const VARIABLE: &str = "KEYBLIND_SELF_TEST_API_KEY";

/// What the self-test works with.
pub(super) struct Circumstances<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) person: &'a Person,
    pub(super) options: &'a Options,
    /// The plan of a run of the person, in their own home.
    pub(super) plan: &'a Plan,
}

/// What came of the runs.
#[derive(Debug, Default)]
pub(super) struct SelfTest {
    pub(super) trials: Vec<Trial>,
    why_not: Option<String>,
}

/// One run.
#[derive(Debug)]
pub(super) struct Trial {
    /// What was tried, for the screen.
    pub(super) what: String,
    /// The tier that the run recorded.
    pub(super) tier: Option<Tier>,
    pub(super) attempts: Vec<Attempt>,
    /// Bytes of canaries in the run's output.
    pub(super) canary_bytes: usize,
    /// Events of attempts: recorded, and how many this tier records.
    pub(super) events: (usize, usize),
    /// Whether the command was under a filter, under no_new_privs, and without capabilities.
    pub(super) confined: bool,
    pub(super) duration: Duration,
    /// Nothing is refused in audit mode.
    enforce: bool,
}

/// One object that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) path: PathBuf,
    pub(super) kind: Target,
    /// The bytes that were read, or why none were.
    pub(super) outcome: Result<usize, Errno>,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// It holds a canary, and a guard of policy names it.
    GuardedCanary,
    /// It holds a canary, and the run does not see it.
    Canary,
    /// It is guarded on this host; it is opened, not read.
    Guarded,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    Leaked,
    NotRun(String),
}

impl SelfTest {
    pub(super) fn not_run(why: String) -> Self {
        Self { trials: Vec::new(), why_not: Some(why) }
    }

    pub(super) fn verdict(&self) -> Verdict {
        if self.trials.iter().any(|trial| !trial.holds()) {
            return Verdict::Leaked;
        }
        match &self.why_not {
            Some(why) => Verdict::NotRun(why.clone()),
            None if self.trials.is_empty() => Verdict::NotRun("no run could be planned".to_owned()),
            None => Verdict::Held,
        }
    }

    /// Whether every event was seen that the tier records.
    pub(super) fn all_recorded(&self) -> bool {
        self.trials.iter().all(|trial| trial.events.0 == trial.events.1)
    }

    /// The tier of the runs.
    pub(super) fn tier(&self) -> Option<Tier> {
        self.trials.iter().find_map(|trial| trial.tier)
    }
}

impl Trial {
    fn holds(&self) -> bool {
        self.canary_bytes == 0
            && self.confined
            && self.attempts.iter().all(|attempt| attempt.holds(self.enforce))
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let (seen, expected) = self.events;
        let events = match expected {
            0 => "no event due".to_owned(),
            1 => format!("event {seen} of 1 seen"),
            _ => format!("events {seen} of {expected} seen"),
        };
        let confined = if self.confined { "" } else { ", NOT CONFINED" };
        format!(
            "{}: {}{confined}, {events}, {} canary bytes in output, {} ms",
            self.what,
            self.refusals(),
            self.canary_bytes,
            self.duration.as_millis(),
        )
    }

    fn refusals(&self) -> String {
        let open: Vec<String> = self
            .attempts
            .iter()
            .filter(|attempt| !attempt.holds(self.enforce))
            .map(|attempt| attempt.path.display().to_string())
            .collect();
        if !open.is_empty() {
            return format!("NOT REFUSED {}", open.join(", "));
        }
        let mut words: BTreeMap<String, usize> = BTreeMap::new();
        for errno in self.attempts.iter().filter_map(|attempt| attempt.outcome.err()) {
            *words.entry(errno.name().unwrap_or_else(|| errno.0.to_string())).or_default() += 1;
        }
        match words.len() {
            0 => "nothing to refuse".to_owned(),
            _ => format!("refused {}", words.into_keys().collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Attempt {
    fn holds(&self, enforce: bool) -> bool {
        match (self.outcome, self.kind) {
            (Err(_), _) => true,
            // In audit mode the empty object in the secret's place may be opened.
            (Ok(0), Target::Guarded | Target::GuardedCanary) => !enforce,
            (Ok(_), _) => false,
        }
    }
}

/// Runs it: with fakes in a home of their own where the run's home can be chosen, and in the person's own home.
pub(super) fn run(place: &mut Place, circumstances: &Circumstances<'_>) -> SelfTest {
    try_run(place, circumstances).unwrap_or_else(SelfTest::not_run)
}

fn try_run(place: &mut Place, circumstances: &Circumstances<'_>) -> Result<SelfTest, String> {
    let Circumstances { loaded, person, plan, .. } = circumstances;
    let words = |error: io::Error| error.to_string();
    let failed = |error: PlaceError| error.to_string();
    let canary = |name| Canary::new(name, "canary-", 32).map_err(words);
    let canaries = [canary("home")?, canary("outside")?, canary("process")?, canary(VARIABLE)?];
    let [in_home, outside, in_process, in_variable] = &canaries;
    let probe = place.copy_self("project/keyblind").map_err(failed)?;
    let outside = place.plant("outside/canary", &outside.value).map_err(failed)?;
    let home = place.directory("home").map_err(failed)?;
    let guarded =
        guarded_in_home(&loaded.policy).map(|path| place.plant(Path::new("home").join(path), &in_home.value));
    let guarded = guarded.transpose().map_err(failed)?;
    place.hand_over().map_err(failed)?;
    let mut stage = Stage {
        project: place.root().join("project"),
        user: person.switch.then(|| (person.uid.as_raw(), person.gid.as_raw())),
        only: false,
        variables: vec![(VARIABLE.into(), in_process.value.clone().into())],
        events: place.root().join("events.jsonl"),
        session: session()?,
        options: options(circumstances),
    };
    // It waits for the end of its stdin.
    let bystander = [probe.as_os_str(), OsStr::new("doctor"), OsStr::new("--inside")];
    let bystander = stage.bystander(&bystander).map_err(|error| {
        format!("cannot execute {}: {error}; set TMPDIR to a directory that allows it", probe.display())
    })?;
    stage.variables = vec![(VARIABLE.into(), in_variable.value.clone().into())];
    let environ = PathBuf::from(format!("/proc/{}/environ", bystander.id()));
    let hidden = [(outside, Target::Canary), (environ, Target::Canary)];
    let mut test = SelfTest::default();
    let mut attempt = |stage: &Stage, what: String, targets: Vec<(PathBuf, Target)>| -> Result<(), String> {
        let command = command(&probe, &targets);
        let command: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
        let seen = stage.supervised(&command, in_variable.value.as_bytes()).map_err(words)?;
        test.trials.push(judge(what, &targets, &canaries, &seen, plan.mode == Mode::Enforce)?);
        Ok(())
    };
    // The home of a user in the user database is where that says.
    if !person.switch || person.name.is_none() {
        let mut fakes = stage.clone();
        fakes.variables.extend(in_fake_home(&home));
        let targets = guarded.map(|path| (path, Target::GuardedCanary)).into_iter().chain(hidden.clone());
        attempt(&fakes, "canary read inside a run".to_owned(), targets.collect())?;
    }
    let guarded = plan.tripwires.iter().map(|tripwire| (tripwire.path.clone(), Target::Guarded));
    let what = match plan.tripwires.len() {
        0 => "this host's own plan, no guarded path on it".to_owned(),
        1 => "this host's own plan, 1 guarded path".to_owned(),
        more => format!("this host's own plan, {more} guarded paths"),
    };
    attempt(&stage, what, hidden.iter().cloned().chain(guarded).collect())?;
    Ok(test)
}

fn session() -> Result<SessionId, String> {
    let word = random_word(6).map_err(|error| error.to_string())?;
    format!("doctor-{word}").parse().map_err(|error: keyblind_events::IdError| error.to_string())
}

/// What makes the run the one that was examined.
fn options(circumstances: &Circumstances<'_>) -> Vec<OsString> {
    let mut options: Vec<OsString> = vec!["--label".into(), "doctor=self-test".into()];
    if let Some(user) = &circumstances.options.user {
        options.extend(["--user".into(), user.into()]);
    }
    if let Some(policy) = &circumstances.options.policy {
        options.extend(["--policy".into(), policy.as_os_str().to_owned()]);
    }
    options
}

/// The variables of a run in a home of fakes. The journal, too, is there and goes with it; the policy stays.
fn in_fake_home(home: &Path) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> =
        vec![("HOME".into(), home.into()), ("XDG_STATE_HOME".into(), home.join(".local/state").into())];
    if env::var_os("XDG_CONFIG_HOME").is_none()
        && let Some(real) = env::var_os("HOME")
    {
        variables.push(("XDG_CONFIG_HOME".into(), Path::new(&real).join(".config").into()));
    }
    variables
}

/// A path below the home that policy guards.
fn guarded_in_home(policy: &Policy) -> Option<PathBuf> {
    let denying = policy
        .guards
        .iter()
        .filter(|guard| guard.access == Access::Read && guard.action.value == Action::Deny);
    let patterns = denying.flat_map(|guard| &guard.path).map(|pattern| &pattern.value);
    let mut exact = patterns.filter(|pattern| pattern.base == Base::Home && !pattern.has_glob());
    exact
        .find(|pattern| !pattern.rest().is_empty())
        .map(|pattern| PathBuf::from(pattern.rest().trim_start_matches('/')))
}

fn command(probe: &Path, targets: &[(PathBuf, Target)]) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec![probe.into(), "doctor".into(), "--inside".into()];
    command.extend(targets.iter().map(|(path, kind)| {
        let mut word = OsString::from(if *kind == Target::Guarded { "open:" } else { "print:" });
        word.push(path);
        word
    }));
    command
}

fn judge(
    what: String,
    targets: &[(PathBuf, Target)],
    canaries: &[Canary],
    seen: &Observed,
    enforce: bool,
) -> Result<Trial, String> {
    let text = String::from_utf8_lossy(&seen.stdout);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix(MARK))
        .map(|line| line.split_whitespace().collect())
        .collect();
    if lines.is_empty() {
        let why = String::from_utf8_lossy(&seen.stderr);
        let why = why.trim().strip_prefix("keyblind: ").unwrap_or(why.trim());
        return Err(format!("status {}: {}", seen.status, keyblind_events::printable(why)));
    }
    let attempts = targets
        .iter()
        .enumerate()
        .map(|(number, (path, kind))| {
            let number = number.to_string();
            let outcome = lines.iter().find_map(|words| match words.as_slice() {
                ["attempt", at, errno, bytes] if *at == number => {
                    Some((errno.parse().ok()?, bytes.parse().ok()?))
                }
                _ => None,
            });
            let (errno, bytes): (i32, usize) =
                outcome.ok_or_else(|| format!("no word of {}", path.display()))?;
            let outcome = if errno == 0 { Ok(bytes) } else { Err(Errno(errno)) };
            Ok(Attempt { path: path.clone(), kind: *kind, outcome })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let status = |key: &str| {
        lines.iter().find_map(|words| match words.as_slice() {
            ["status", name, value] if *name == key => Some(*value),
            _ => None,
        })
    };
    let confined = status("Seccomp") == Some("2")
        && status("NoNewPrivs") == Some("1")
        && status("CapEff").is_some_and(|value| value.bytes().all(|byte| byte == b'0'))
        && status("variable") == Some("absent");
    let output = seen.output();
    let canary_bytes =
        canaries.iter().filter(|canary| canary.is_in(&output)).map(|canary| canary.value.len()).sum();
    let tier = seen.events.iter().find_map(|event| event.envelope.context.tier).and_then(tier);
    let tripwires = targets.iter().filter(|(_, kind)| *kind != Target::Canary).count();
    // The other tiers refuse without an event until the opener answers opens.
    let expected = if matches!(tier, Some(Tier::Mount | Tier::Kernel)) { tripwires } else { 0 };
    // Programs of the kernel tell of more: of what this run looks at besides, such as its own variables.
    let of_target = |event: &&Event| {
        let path = event.envelope.object.as_ref().and_then(|object| object.path.as_deref());
        targets.iter().any(|(target, _)| path == Some(target.as_path()))
    };
    let accesses = seen.events.iter().filter(|event| matches!(event.kind, Kind::Access(_)));
    let recorded = accesses.filter(of_target).count();
    let (events, duration) = ((recorded, expected), seen.duration);
    Ok(Trial { what, tier, attempts, canary_bytes, events, confined, duration, enforce })
}

fn tier(recorded: keyblind_events::Tier) -> Option<Tier> {
    let all = [Tier::InPlace, Tier::User, Tier::Mount, Tier::Kernel];
    all.into_iter().find(|tier| tier.name() == recorded.as_str())
}

/// Whether the variable that holds a canary reached this process.
pub(super) fn variable_is_here() -> bool {
    env::var_os(VARIABLE).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl SelfTest {
        pub(in super::super) fn held_for_tests() -> Self {
            let attempt =
                Attempt { path: "/x".into(), kind: Target::GuardedCanary, outcome: Err(Errno::EACCES) };
            let trial = Trial {
                what: "canary read inside a run".into(),
                tier: Some(Tier::Mount),
                attempts: vec![attempt],
                canary_bytes: 0,
                events: (1, 1),
                confined: true,
                duration: Duration::from_millis(11),
                enforce: true,
            };
            Self { trials: vec![trial], why_not: None }
        }

        pub(in super::super) fn leak(&mut self) {
            self.trials[0].canary_bytes = 7;
        }

        pub(in super::super) fn lose_an_event(&mut self) {
            self.trials[0].events = (0, 1);
        }
    }

    fn seen(lines: &str) -> Observed {
        Observed { stdout: lines.into(), ..Observed::default() }
    }

    const CONFINED: &str = "keyblind-self-test status Seccomp 2\nkeyblind-self-test status NoNewPrivs 1\n\
                            keyblind-self-test status CapEff 0000000000000000\n\
                            keyblind-self-test status variable absent\n";

    fn judged(lines: &str, kind: Target) -> Trial {
        let canary = Canary { name: "K", value: "canary-0123456789".into() };
        let targets = [(PathBuf::from("/secret"), kind)];
        judge("try".into(), &targets, &[canary], &seen(lines), true).expect("a verdict")
    }

    #[test]
    fn a_refused_attempt_holds() {
        let trial = judged(&format!("keyblind-self-test attempt 0 13 0\n{CONFINED}"), Target::GuardedCanary);
        assert!(trial.holds());
        assert_eq!(trial.summary(), "try: refused EACCES, no event due, 0 canary bytes in output, 0 ms");
    }

    #[test]
    fn what_was_read_or_shown_or_left_open_does_not_hold() {
        let check = |lines: String, kind, summary: &str| {
            let trial = judged(&lines, kind);
            assert!(!trial.holds(), "{lines}");
            assert!(trial.summary().contains(summary), "{}", trial.summary());
        };
        check(
            format!("keyblind-self-test attempt 0 0 17\n{CONFINED}"),
            Target::Canary,
            "NOT REFUSED /secret",
        );
        check(
            format!("keyblind-self-test attempt 0 0 0\n{CONFINED}"),
            Target::Guarded,
            "NOT REFUSED /secret",
        );
        let shown = format!("keyblind-self-test attempt 0 13 0\ncanary-0123456789\n{CONFINED}");
        check(shown, Target::Canary, "17 canary bytes");
        for broken in ["Seccomp 2", "NoNewPrivs 1", "variable absent", "CapEff 0000000000000000"] {
            let lines = format!("keyblind-self-test attempt 0 13 0\n{}", CONFINED.replace(broken, "x 0"));
            check(lines, Target::Canary, "NOT CONFINED");
        }
    }

    #[test]
    fn a_run_that_said_nothing_is_no_proof() {
        let refused =
            Observed { stderr: b"keyblind: no such tier\n".into(), status: 125, ..Observed::default() };
        let verdict = judge("try".into(), &[], &[], &refused, true).map(|_| ());
        assert_eq!(verdict, Err("status 125: no such tier".to_owned()));
        let silent =
            judge("try".into(), &[("/x".into(), Target::Canary)], &[], &seen(CONFINED), true).map(|_| ());
        assert_eq!(silent, Err("no word of /x".to_owned()));
    }

    #[test]
    fn in_audit_mode_an_empty_object_may_be_opened_and_no_canary_read() {
        let opened = |kind, bytes| Attempt { path: "/x".into(), kind, outcome: Ok(bytes) };
        assert!(opened(Target::Guarded, 0).holds(false));
        assert!(opened(Target::GuardedCanary, 0).holds(false));
        assert!(!opened(Target::GuardedCanary, 9).holds(false));
        assert!(!opened(Target::Canary, 0).holds(false));
    }
}
