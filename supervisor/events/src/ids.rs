#![forbid(unsafe_code)]
//! Names that join events: run, session, call, label, trace. Each is checked when it is made, so that no
//! later reader has to wonder what is in it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Wall, monotonic_ns};
use crate::escape::printable;

/// Why a text is not an id, a label or a trace context. The text names what was given and what is allowed;
/// of a label it names the key alone, since people put too much into values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{given}\": {cause}; use {allowed}")]
pub struct IdError {
    what: &'static str,
    given: String,
    cause: String,
    allowed: &'static str,
}

impl IdError {
    fn new(what: &'static str, given: &str, cause: impl Into<String>, allowed: &'static str) -> Self {
        let mut shown: String = given.chars().take(64).collect();
        if shown.len() < given.len() {
            shown.push('…');
        }
        Self { what, given: printable(shown), cause: cause.into(), allowed }
    }
}

/// Checks length and characters of `given`; `first` says what it may begin with.
fn check(
    what: &'static str,
    given: &str,
    max: usize,
    inside: fn(char) -> bool,
    allowed: &'static str,
) -> Result<(), IdError> {
    let refuse = |cause: String| Err(IdError::new(what, given, cause, allowed));
    match given.chars().next() {
        None => return refuse("it is empty".to_owned()),
        Some(first) if !first.is_ascii_alphanumeric() => {
            return refuse(format!("it begins with \"{}\"", printable(first.to_string())));
        }
        Some(_) => {}
    }
    if let Some((at, c)) = given.char_indices().find(|&(_, c)| !inside(c)) {
        return refuse(format!("\"{}\" at byte {at} is not allowed", printable(c.to_string())));
    }
    if given.len() > max {
        return refuse(format!("it has {} characters", given.len()));
    }
    Ok(())
}

fn is_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }
    };
}

text_id! {
    /// One run: `r-` and letters and digits. [`RunId::new`] makes twelve of them, 71 bits, so that a run
    /// cannot name another run by guessing.
    RunId, |text| {
        let allowed = "r- and 1 to 32 of A-Z a-z 0-9";
        let Some(rest) = text.strip_prefix("r-") else {
            return Err(IdError::new("run id", text, "it does not begin with r-", allowed));
        };
        check("run id", rest, 32, |c| c.is_ascii_alphanumeric(), allowed)
    }
}

text_id! {
    /// One agent's runs. Given with `--session`, or made by [`SessionId::new`].
    SessionId, |text| check("session id", text, 64, is_id_char,
        "1 to 64 of A-Z a-z 0-9 . _ : - and begin with a letter or digit")
}

text_id! {
    /// The caller's own name for the tool call, given with `--call-id`.
    CallId, |text| check("call id", text, 128, is_id_char,
        "1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit")
}

text_id! {
    /// W3C trace context, version 00: `00-` 32 hex digits `-` 16 hex digits `-` 2 hex digits, from
    /// `TRACEPARENT`.
    TraceParent, |text| {
        let bad = |cause: &str| Err(IdError::new("traceparent", text, cause,
            "00-TRACE-PARENT-FLAGS with 32, 16 and 2 lower-case hex digits"));
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, parent, flags] = parts.as_slice() else { return bad("it has not four parts") };
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if *version != "00" {
            return bad("its version is not 00");
        }
        if !hex(trace, 32) || !hex(parent, 16) || !hex(flags, 2) {
            return bad("a part is not hex of the right length");
        }
        if trace.bytes().chain(parent.bytes()).all(|b| b == b'0')
            || trace.bytes().all(|b| b == b'0')
            || parent.bytes().all(|b| b == b'0')
        {
            return bad("an id of zeros names nothing");
        }
        Ok(())
    }
}

#[expect(clippy::new_without_default, reason = "each call makes another id; a default would hide that")]
impl RunId {
    /// A new, unguessable id.
    pub fn new() -> Self {
        Self(format!("r-{}", random_text(12)))
    }
}

#[expect(clippy::new_without_default, reason = "each call makes another id; a default would hide that")]
impl SessionId {
    /// A new id for a run that was started without one.
    pub fn new() -> Self {
        Self(format!("s-{}", random_text(12)))
    }
}

/// One `--label KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    key: String,
    value: String,
}

const LABEL: &str = "KEY=VALUE, the key 1 to 63 of A-Z a-z 0-9 . _ / - and begin with a letter or digit, \
                     the value at most 256 bytes of printable text";

impl Label {
    /// Checks key and value: [`Label::from_str`] in two parts.
    pub fn new(key: &str, value: &str) -> Result<Self, IdError> {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
        check("label", key, 63, inside, LABEL)?;
        if value.len() > 256 {
            let cause = format!("its value has {} bytes", value.len());
            return Err(IdError::new("label", key, cause, LABEL));
        }
        if value.chars().any(crate::escape::is_hostile) {
            let cause = "its value holds a control or invisible character";
            return Err(IdError::new("label", key, cause, LABEL));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl FromStr for Label {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('=') {
            Some((key, value)) => Self::new(key, value),
            None => Err(IdError::new("label", text, "it has no =", LABEL)),
        }
    }
}

/// The labels of a run: at most [`Labels::MAX`], each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// How many labels a run may carry.
    pub const MAX: usize = 32;

    /// Adds a label. A key that is there already, and one too many, are errors.
    pub fn insert(&mut self, label: Label) -> Result<(), IdError> {
        let allowed = "each key once, at most 32 labels";
        if self.0.contains_key(&label.key) {
            return Err(IdError::new("label", &label.key, "it was given before", allowed));
        }
        if self.0.len() == Self::MAX {
            return Err(IdError::new("label", &label.key, "there are 32 already", allowed));
        }
        self.0.insert(label.key, label.value);
        Ok(())
    }

    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One event: a UUID of version 7 (RFC 9562), which sorts by the time at which it was made: milliseconds
/// in 48 bits, the fraction of the millisecond in 12 (its method 3), 62 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

impl EventId {
    /// A new id for an event that happened at `time`.
    pub fn new(time: Wall) -> Self {
        let ns = u128::from(time.unix_ns());
        let milliseconds = (ns / 1_000_000) & 0xffff_ffff_ffff;
        let fraction = (ns % 1_000_000) * 4096 / 1_000_000;
        let random = u128::from(random_u64() >> 2);
        Self(milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
        write!(f, "{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = |cause: &str| IdError::new("event id", text, cause, "a UUID of version 7 in lower case");
        let hex: String = text.split('-').collect();
        let number = u128::from_str_radix(&hex, 16).map_err(|error| bad(&error.to_string()))?;
        let id = Self(number);
        // One spelling per id: what is printed must be what was read.
        if id.to_string() != text || (number >> 76) & 0xf != 7 || (number >> 62) & 3 != 2 {
            return Err(bad("it is not spelt as one"));
        }
        Ok(id)
    }
}

/// 64 random bits: SipHash under a key that std took from getrandom(2). The process id and the clock go in
/// too, because a forked child inherits key and counter.
fn random_u64() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(monotonic_ns());
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

fn random_text(len: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(len);
    while text.len() < len {
        let bits = random_u64();
        // Ten groups of six bits; a group over 61 is thrown away, so every character is equally likely.
        let groups = (0..10u32).filter_map(|n| usize::try_from((bits >> (6 * n)) & 63).ok());
        let letters = groups.filter_map(|group| ALPHABET.get(group)).copied().map(char::from);
        text.extend(letters.take(len - text.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn made_ids_are_valid_and_different() {
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            let run = RunId::new();
            assert_eq!(run.as_str().parse(), Ok(run.clone()));
            assert_eq!(run.as_str().len(), 14);
            assert!(seen.insert(run.as_str().to_owned()));
            let session = SessionId::new();
            assert_eq!(session.as_str().parse(), Ok(session.clone()));
            assert!(seen.insert(session.as_str().to_owned()));
        }
    }

    #[test]
    fn every_letter_turns_up() {
        let letters: HashSet<char> = random_text(20_000).chars().collect();
        assert_eq!(letters.len(), 62);
    }

    #[test]
    fn event_ids_sort_by_time_and_say_their_version() {
        let early = EventId::new(Wall::from_unix_ns(1_795_442_533_377_000_000));
        let late = EventId::new(Wall::from_unix_ns(1_795_442_533_377_001_000));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert!(early.to_string().starts_with("01a208b6-e401-7000-"), "{early}");
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_ne!(early, EventId::new(Wall::from_unix_ns(1_795_442_533_377_000_000)));
        for bad in ["", "x", "00000000-0000-0000-0000-000000000000", &early.to_string().to_uppercase()] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_name_the_object_the_cause_and_the_fix() {
        let check = |error: IdError, text: &str| assert_eq!(error.to_string(), text);
        check(
            "a b".parse::<SessionId>().unwrap_err(),
            "session id \"a b\": \" \" at byte 1 is not allowed; \
             use 1 to 64 of A-Z a-z 0-9 . _ : - and begin with a letter or digit",
        );
        check(
            "-x".parse::<CallId>().unwrap_err(),
            "call id \"-x\": it begins with \"-\"; \
             use 1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit",
        );
        check(
            "8Q2".parse::<RunId>().unwrap_err(),
            "run id \"8Q2\": it does not begin with r-; use r- and 1 to 32 of A-Z a-z 0-9",
        );
        check(
            "s\u{1b}[2J".parse::<SessionId>().unwrap_err(),
            "session id \"s\\u{1b}[2J\": \"\\u{1b}\" at byte 1 is not allowed; \
             use 1 to 64 of A-Z a-z 0-9 . _ : - and begin with a letter or digit",
        );
        assert!("".parse::<SessionId>().is_err());
        assert!("x".repeat(64).parse::<SessionId>().is_ok());
        assert!("x".repeat(65).parse::<SessionId>().is_err());
        assert!("call_8f:2.1-x".parse::<CallId>().is_ok());
    }

    #[test]
    fn labels_keep_their_limits_and_never_print_a_value() {
        let label: Label = "team/ci=a=b".parse().unwrap();
        let mut labels = Labels::default();
        labels.insert(label.clone()).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("team/ci", "a=b")]);
        assert!(labels.insert(label).unwrap_err().to_string().contains("given before"));
        for n in 1..Labels::MAX {
            labels.insert(Label::new(&format!("k{n}"), "").unwrap()).unwrap();
        }
        assert!(labels.insert(Label::new("one-more", "").unwrap()).is_err());

        let marker = "hunter".repeat(50);
        for bad in [format!("key={marker}"), format!("key={}\n", "hunter")] {
            let text = bad.parse::<Label>().unwrap_err().to_string();
            assert!(text.starts_with("label \"key\": its value"), "{text}");
            assert!(!text.contains("hunter"), "{text}");
        }
        for bad in ["novalue", "=x", "a b=x", "-a=x"] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
    }

    #[test]
    fn trace_context_is_version_00_and_not_zero() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(good.parse::<TraceParent>().map(|t| t.to_string()), Ok(good.to_owned()));
        for bad in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }
}
