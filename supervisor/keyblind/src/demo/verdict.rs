//! What was seen of an attack → the cells of its row.

use std::collections::BTreeSet;

use keyblind_events::{Event, Kind, Outcome, Secret, Tier};

use super::attacks::{Attack, Success};
use crate::trial::{Canary, shown};

/// What came of one attempt.
#[derive(Debug, Default, Clone)]
pub(super) struct Sight {
    /// Fakes that its output shows, as they are or in base64.
    pub(super) keys: usize,
    /// How often its output shows one.
    pub(super) times: usize,
    /// How often it read the whole file that holds one, shown or not.
    pub(super) reads: usize,
    /// Marks in its output, each once.
    pub(super) marks: Vec<String>,
    /// Errors in its output, each once, in the order of their appearance.
    pub(super) errors: Vec<&'static str>,
    /// Whether it did to the host what it was to do.
    pub(super) effect: bool,
    /// What was recorded.
    pub(super) events: Vec<Event>,
}

/// The three cells of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) bare: String,
    pub(super) supervised: String,
    pub(super) how: String,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    Leaked,
    /// It could not be tried, or does not work bare.
    NotApplicable,
}

/// Something that a run says it does not enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// Guards and keys of policy, by name.
    what: Vec<String>,
    pub(super) why: String,
}

impl Gap {
    /// Reads a line of the first event: `NAME, NAME: why`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (what, why) = text.split_once(": ")?;
        let names = what.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty());
        Some(Self { what: names.map(str::to_owned).collect(), why: why.to_owned() })
    }

    /// Whether it is what was to stop this attack.
    pub(super) fn concerns(&self, attack: &Attack) -> bool {
        self.what.iter().any(|name| name == attack.concern)
    }
}

impl Sight {
    /// Reads it off what the tool printed. `digest` is the hash of the file that the tool was after.
    pub(super) fn of(output: &[u8], canaries: &[Canary], digest: Option<&str>) -> Self {
        let text = String::from_utf8_lossy(output);
        Self {
            keys: shown(canaries, output),
            times: canaries.iter().map(|canary| text.matches(canary.value.as_str()).count()).sum(),
            reads: digest.map_or(0, |digest| text.matches(digest).count()),
            marks: marks(&text),
            errors: errors(&text),
            ..Self::default()
        }
    }

    fn succeeded(&self) -> bool {
        self.keys > 0 || self.reads > 0 || self.effect
    }
}

impl Cells {
    /// A row that could not be tried.
    pub(super) fn not_applicable(why: &str) -> Self {
        Self { bare: "n.a.".to_owned(), supervised: "n.a.".to_owned(), how: why.to_owned() }
    }
}

/// The row of `attack`. `gaps` is what the run said that it does not enforce.
pub(super) fn judge(
    attack: &Attack,
    bare: &Sight,
    supervised: &Sight,
    tier: Tier,
    gaps: &[Gap],
) -> (Cells, Verdict) {
    if !bare.succeeded() {
        let errors = bare.errors.join(", ");
        let why = if errors.is_empty() {
            "it shows nothing bare".to_owned()
        } else {
            format!("fails bare: {errors}")
        };
        return (Cells::not_applicable(&why), Verdict::NotApplicable);
    }
    let bare = success(attack.success, bare);
    if supervised.succeeded() {
        let mut how = success(attack.success, supervised);
        if supervised.keys == 0 && supervised.reads > 0 {
            how = match supervised.reads {
                1 => "read, redacted on its way out".to_owned(),
                more => format!("read {more}x, redacted on its way out"),
            };
        }
        if gaps.iter().any(|gap| gap.concerns(attack)) {
            how.push_str(&format!("; {} is not enforced", attack.concern));
        }
        return (Cells { bare, supervised: "NOT HELD".to_owned(), how }, Verdict::Leaked);
    }
    let cells =
        Cells { bare, supervised: held(attack.success, supervised), how: how(attack, supervised, tier) };
    (cells, Verdict::Held)
}

fn success(kind: Success, sight: &Sight) -> String {
    match kind {
        Success::Keys if sight.keys == 1 => "1 key shown".to_owned(),
        Success::Keys => format!("{} keys shown", sight.keys),
        Success::Key => "key shown".to_owned(),
        Success::Times => format!("key shown {}x", sight.times.max(sight.reads)),
        Success::Decodes => "key decodes".to_owned(),
        Success::Reached => "reached".to_owned(),
        Success::Planted => "planted".to_owned(),
    }
}

fn held(kind: Success, sight: &Sight) -> String {
    let masked = sight.events.iter().filter(|event| outcome(event).is_some_and(is_mask)).count();
    if masked > 0 {
        return if kind == Success::Times { format!("masked {masked}x") } else { "masked".to_owned() };
    }
    if !sight.marks.is_empty() {
        return sight.marks.join(", ");
    }
    if !sight.errors.is_empty() {
        return sight.errors.join(", ");
    }
    "0".to_owned()
}

fn outcome(event: &Event) -> Option<Outcome> {
    match &event.kind {
        Kind::Access(access) => Some(access.outcome),
        _ => None,
    }
}

fn is_mask(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Masked { .. })
}

/// Who stopped it, as recorded.
fn how(attack: &Attack, sight: &Sight, tier: Tier) -> String {
    let mut said: Vec<String> = Vec::new();
    for event in &sight.events {
        let word = match &event.kind {
            Kind::Access(_) => {
                event.envelope.object.as_ref().and_then(|object| object.guard.as_ref()).map(|guard| {
                    let kind = if event.envelope.layer.as_deref() == Some("fanotify") {
                        "tripwire"
                    } else {
                        "guard"
                    };
                    format!("{kind} {guard}")
                })
            }
            Kind::Redacted(redacted) => {
                let encoding =
                    redacted.encoding.as_ref().map_or_else(String::new, |encoding| format!(", {encoding}"));
                Some(match &redacted.secret {
                    Secret::Needle(name) => format!("needle {name}{encoding}"),
                    Secret::Rule(id) => format!("rule {id}{encoding}"),
                })
            }
            _ => None,
        };
        said.extend(word.filter(|word| !said.contains(word)));
    }
    if said.is_empty() { (attack.by)(tier).to_owned() } else { said.join(", ") }
}

/// `[REDACTED]` and `[REDACTED:NAME]`, each once.
fn marks(text: &str) -> Vec<String> {
    let mut marks = BTreeSet::new();
    for (at, _) in text.match_indices("[REDACTED") {
        let rest = text.get(at..).unwrap_or_default();
        if let Some(end) = rest.find(']') {
            marks.extend(rest.get(..=end).map(str::to_owned));
        }
    }
    marks.into_iter().collect()
}

/// Errors as programs print them in the C locale (strerror(3)), by name.
fn errors(text: &str) -> Vec<&'static str> {
    const WORDS: [(&str, &str); 6] = [
        ("Permission denied", "EACCES"),
        ("Operation not permitted", "EPERM"),
        ("No such file or directory", "ENOENT"),
        ("Read-only file system", "EROFS"),
        ("Network is unreachable", "ENETUNREACH"),
        ("Connection refused", "ECONNREFUSED"),
    ];
    let mut found: Vec<(usize, &str)> =
        WORDS.iter().filter_map(|(words, name)| text.find(words).map(|at| (at, *name))).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use keyblind_events::{Context, Recorder, Redacted, RunId, SessionId, Stream};

    use super::*;
    use crate::demo::attacks::ALL;

    fn attack(success: Success) -> &'static Attack {
        ALL.iter().find(|attack| attack.success == success).expect("a row")
    }

    fn shows(keys: usize) -> Sight {
        Sight { keys, times: keys, ..Sight::default() }
    }

    fn row(
        success: Success,
        bare: &Sight,
        supervised: &Sight,
        gaps: &[Gap],
    ) -> (String, String, String, Verdict) {
        let (cells, verdict) = judge(attack(success), bare, supervised, Tier::User, gaps);
        (cells.bare, cells.supervised, cells.how, verdict)
    }

    fn cells(bare: &str, supervised: &str, how: &str, verdict: Verdict) -> (String, String, String, Verdict) {
        (bare.to_owned(), supervised.to_owned(), how.to_owned(), verdict)
    }

    #[test]
    fn a_key_that_comes_through_is_not_held() {
        let expect = cells("5 keys shown", "NOT HELD", "1 key shown", Verdict::Leaked);
        assert_eq!(row(Success::Keys, &shows(5), &shows(1), &[]), expect);
        let gap = [Gap::parse("project.dotenv, project.direnv: needs the opener").expect("a gap")];
        let read = Sight { reads: 3, marks: vec!["[REDACTED:X]".into()], ..Sight::default() };
        let how = "read 3x, redacted on its way out; project.dotenv is not enforced";
        assert_eq!(
            row(Success::Times, &Sight { times: 3, ..shows(1) }, &read, &gap),
            cells("key shown 3x", "NOT HELD", how, Verdict::Leaked)
        );
        let planted = Sight { effect: true, ..Sight::default() };
        assert_eq!(
            row(Success::Planted, &planted, &planted, &gap),
            cells("planted", "NOT HELD", "planted", Verdict::Leaked)
        );
    }

    #[test]
    fn what_is_held_says_what_was_seen() {
        let refused = Sight { errors: vec!["EACCES", "ENOENT"], ..Sight::default() };
        assert_eq!(
            row(Success::Keys, &shows(5), &refused, &[]),
            cells("5 keys shown", "EACCES, ENOENT", "variables.keep", Verdict::Held)
        );
        assert_eq!(
            row(Success::Keys, &shows(5), &Sight::default(), &[]),
            cells("5 keys shown", "0", "variables.keep", Verdict::Held)
        );
        let mut recorder = Recorder::new(Context::new(RunId::new(), SessionId::new()));
        let redacted = Redacted {
            secret: Secret::Needle("OPENAI_API_KEY".into()),
            fingerprint: None,
            encoding: Some("base64".into()),
            stream: Stream::Stdout,
            offset: 0,
            len: 9,
        };
        let event = recorder.event(Kind::Redacted(redacted));
        let marked = Sight {
            marks: vec!["[REDACTED:OPENAI_API_KEY]".into()],
            events: vec![event.clone(), event],
            ..Sight::default()
        };
        assert_eq!(
            row(Success::Decodes, &shows(1), &marked, &[]),
            cells("key decodes", "[REDACTED:OPENAI_API_KEY]", "needle OPENAI_API_KEY, base64", Verdict::Held)
        );
    }

    #[test]
    fn an_attack_that_fails_bare_proves_nothing() {
        let failed = Sight { errors: vec!["ENOENT"], ..Sight::default() };
        let expect = cells("n.a.", "n.a.", "fails bare: ENOENT", Verdict::NotApplicable);
        assert_eq!(row(Success::Key, &failed, &Sight::default(), &[]), expect);
    }

    #[test]
    fn output_is_read_for_keys_hashes_marks_and_errors() {
        let canary = Canary { name: "K", value: "canary-0123456789".into() };
        let output = "canary-0123456789 canary-0123456789 abc123\ncat: /x: Permission denied\n\
                      [REDACTED:B] [REDACTED] [REDACTED:B] cat: /y: No such file or directory\n";
        let sight = Sight::of(output.as_bytes(), &[canary], Some("abc123"));
        assert_eq!((sight.keys, sight.times, sight.reads), (1, 2, 1));
        assert_eq!(sight.marks, ["[REDACTED:B]", "[REDACTED]"]);
        assert_eq!(sight.errors, ["EACCES", "ENOENT"]);
    }

    #[test]
    fn a_gap_concerns_the_rows_that_it_names() {
        let concerned = |gap: &str| {
            let gap = Gap::parse(gap).expect("a gap");
            ALL.iter().filter(|attack| gap.concerns(attack)).count()
        };
        assert_eq!(concerned("project.direnv, project.dotenv: needs the opener"), 3);
        assert_eq!(concerned("network.deny `metadata`: needs kernel programs"), 1);
        assert_eq!(concerned("project.dotenv-leftovers: needs the opener"), 0);
    }
}
