//! Shapes: secrets that are known by their form, described as data in `policies/redaction`.
//!
//! A shape begins at a fixed word (`ghp_`, `password`, `://`). Where the scan finds the word, the
//! shape reads on to the right and answers one of three things; it never looks further than it needs
//! to, so the answer does not depend on how the input was cut.

pub(crate) use custom::Custom;
pub use custom::{OperatorRule, RuleError};
use pattern::Elem;

mod between;
pub(crate) mod class;
pub(crate) mod context;
mod custom;
mod letters;
mod looks;
mod names;
pub(crate) mod pattern;
mod pem;
mod reference;
mod token;
mod userinfo;

/// The rules, compiled by the build script.
pub(crate) mod table {
    use std::borrow::Cow;

    use super::context::Kind;
    use super::pattern::Elem;
    use super::{Body, Confidence, Gate, Gate4, Lead, Left, Rule, Shape, Word, WordEntry};

    include!(concat!(env!("OUT_DIR"), "/rules.rs"));
}

/// A built-in rule: what a mark or a hit of a shape is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Stands in the mark and in the hit.
    pub id: &'static str,
    /// Why such text is hidden.
    pub reason: &'static str,
    /// Where the format is described.
    pub source: &'static str,
    /// How sure it is that text of this shape is a secret.
    pub confidence: Confidence,
}

/// How sure it is that what a rule finds is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Names a tenant or an account, or is often no secret.
    Low,
    /// Is known by what stands beside it.
    Medium,
    /// Is known by its own form.
    High,
}

/// The built-in rules, in the order in which they name a mark.
pub fn rules() -> &'static [Rule] {
    &table::RULES
}

/// A fixed text and the shapes that begin with it.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) text: &'static [u8],
    /// Letters of either case.
    pub(crate) fold: bool,
    /// All its shapes are values beside a name.
    pub(crate) named: bool,
    /// Of a word that is hidden, the bytes at its beginning that are not.
    pub(crate) shown: u8,
    pub(crate) shapes: &'static [u16],
    /// Its first eight bytes, little endian, and which of their bits count.
    pub(crate) mask: u64,
    pub(crate) head: u64,
}

/// A run of characters before a fixed text, which begins a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead {
    pub(crate) class: u8,
    pub(crate) min: u16,
    pub(crate) max: u16,
    pub(crate) text: &'static [u8],
}

impl Lead {
    /// Where the token's hidden part begins if `text` ends inside its run or its fixed text.
    fn unfinished(&self, text: &[u8]) -> Option<usize> {
        let inside = (0..self.text.len()).filter(|&n| text.ends_with(&self.text[..n]));
        let begins = inside.filter_map(|n| {
            let (end, min) = (text.len() - n, if n == 0 { 0 } else { self.min });
            let begin = token::lead(self.class, min, self.max, text, end)?;
            let from = begin + token::hidden_from(&text[begin..end]);
            (from < text.len()).then_some(from)
        });
        begins.min()
    }
}

/// What the words that share a window have in common: bits of the four bytes from the window on, and
/// where in the table of entries they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate4 {
    pub(crate) mask: u32,
    pub(crate) bytes: u32,
    pub(crate) first: u16,
    pub(crate) len: u16,
}

/// A word that may begin `at` bytes before a window, or behind its first byte for -1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WordEntry {
    pub(crate) word: u16,
    pub(crate) at: i8,
    /// The word's four bytes from the window on, and which of their bits count.
    pub(crate) mask: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) rule: u16,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// Fixed texts and runs of characters; what is hidden begins with element `secret`.
    Token { elems: &'static [Elem], secret: u8, left: Left, fold: bool, gate: Gate },
    /// The value beside a telling name, or several in a list.
    Value { kind: context::Kind },
    /// A PEM block with a private key.
    Pem,
    /// The password of `scheme://user:password@host`.
    UserInfo,
}

/// What may stand before a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Any,
    /// No letter and no digit, unless it ends an escape (`\n`, `%3D`, `ESC[0m`).
    Word,
}

/// What the last run's first `min` characters must have. Zeros ask for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    pub(crate) distinct: u8,
    pub(crate) digits: u8,
    /// Shannon entropy in bits per character.
    pub(crate) entropy: f32,
}

/// What a shape says about the place where its word stands.
#[derive(Debug)]
pub(crate) enum Verdict {
    No,
    /// Undecided; bytes from `from` on must be held.
    Pending {
        from: usize,
    },
    /// `text[start..end]` is hidden; with `open` the span goes on in the next bytes.
    Span {
        start: usize,
        end: usize,
        open: Option<Swallow>,
    },
}

/// How far before a held byte the words of a shape may begin, in bytes. A value further from its name
/// is not taken.
pub(crate) const REACH: usize = 160;

/// At most so many values of a list are looked at.
const ITEMS: usize = 4;

/// Reads `shape`, whose word begins at `at`, and gives `take` each verdict. `eof`: nothing follows `text`.
pub(crate) fn judge(
    shape: &Shape,
    word: &Word,
    text: &[u8],
    at: usize,
    eof: bool,
    mut take: impl FnMut(Verdict),
) {
    for item in 0..ITEMS {
        let verdict = judge_item(shape, word, text, at, eof, item);
        let more = matches!((&shape.body, &verdict), (Body::Value { .. }, Verdict::Span { open: None, .. }));
        take(verdict);
        if !more {
            return;
        }
    }
}

fn judge_item(shape: &Shape, word: &Word, text: &[u8], at: usize, eof: bool, item: usize) -> Verdict {
    match shape.body {
        Body::Token { elems, secret, left, fold, gate } => {
            let leads = matches!(elems.first(), Some(Elem::Run { .. }));
            if left == Left::Word && !leads && !left_is_free(text, at) {
                return Verdict::No;
            }
            token::judge(&token::Token { elems, secret: usize::from(secret), fold, gate }, text, at, eof)
        }
        Body::Value { kind } => context::judge(kind, text, at, at + word.text.len(), eof, item),
        Body::Pem => pem::judge(text, at, eof),
        Body::UserInfo => userinfo::judge(text, at, eof),
    }
}

/// What goes on hiding after a shape is certain, byte for byte and without holding anything.
#[derive(Debug, Clone)]
pub(crate) enum Swallow {
    Run(u8),
    Value(context::Rest),
    Pem(pem::Rest),
}

impl Swallow {
    /// Takes the next bytes; gives the index of the first that is no longer hidden.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Swallow::Run(class) => bytes.iter().position(|&b| !class::has(*class, b)),
            Swallow::Value(rest) => rest.advance(bytes),
            Swallow::Pem(rest) => rest.advance(bytes),
        }
    }

    /// The verdict for a span that is certain from `start` on and has been read up to `from`.
    fn span(mut self, text: &[u8], start: usize, from: usize) -> Verdict {
        match self.advance(&text[from..]) {
            Some(n) => Verdict::Span { start, end: from + n, open: None },
            None => Verdict::Span { start, end: text.len(), open: Some(self) },
        }
    }
}

/// Whether a token may begin at `at`: no letter or digit stands before it, except as the end of an
/// escape sequence.
pub(crate) fn left_is_free(text: &[u8], at: usize) -> bool {
    let before = &text[at.saturating_sub(12)..at];
    match *before {
        [.., b] if !b.is_ascii_alphanumeric() => true,
        [] => true,
        [.., b'\\', b'n' | b'r' | b't'] => true,
        [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => true,
        [.., b'm'] => {
            let digits = before[..before.len() - 1].iter().rev();
            let mut rest = digits.skip_while(|b| b.is_ascii_digit() || **b == b';');
            rest.next() == Some(&b'[') && rest.next() == Some(&0x1b)
        }
        _ => false,
    }
}

/// The first position `p >= from` such that `text` ends inside a word, of which the bytes from `p` on are
/// hidden.
pub(crate) fn unfinished(text: &[u8], from: usize) -> Option<usize> {
    let first = text.len().saturating_sub(table::LONGEST_HIDDEN - 1);
    let held = |p: usize| {
        let rest = &text[p..];
        // Cheap first: most bytes stand inside a word of the text. Words that show their beginning are
        // PEM's, which ask nothing of what stands before.
        let free = left_is_free(text, p);
        if !free && rest[0] != b'-' {
            return None;
        }
        let first = usize::from(rest[0]);
        let (from, to) = (table::HIDDEN_FROM[first], table::HIDDEN_FROM[first + 1]);
        let hidden = &table::HIDDEN[usize::from(from)..usize::from(to)];
        let words = hidden.iter().map(|&w| &table::WORDS[usize::from(w)]);
        let after = hidden.partition_point(|&w| table::WORDS[usize::from(w)].text < rest);
        words
            .skip(after)
            .take_while(|word| word.text.starts_with(rest))
            .filter(|word| word.text.len() > rest.len() && rest.len() > usize::from(word.shown))
            .filter(|word| word.shown > 0 || free)
            .map(|word| p + usize::from(word.shown))
            .min()
    };
    let leads = table::LEADS.iter().filter_map(|lead| lead.unfinished(text));
    (first..text.len()).filter_map(held).chain(leads).filter(|&p| p >= from).min()
}

/// Shannon entropy of `bytes`, in bits per byte.
pub(crate) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u16; 256];
    bytes.iter().for_each(|&b| counts[usize::from(b)] = counts[usize::from(b)].saturating_add(1));
    let total: f32 = counts.iter().map(|&c| f32::from(c)).sum();
    counts.iter().filter(|&&c| c > 0).map(|&c| f32::from(c) / total).map(|p| -p * libm::log2f(p)).sum()
}
