//! Operators' own rules, compiled at run time.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::pattern::Pattern;
use super::token::{self, Token};
use super::{Gate, Verdict, left_is_free};
use crate::clean;

/// A rule of the operator's own.
#[derive(Debug, Clone, Default)]
pub struct OperatorRule {
    /// Stands in the mark and in the hit: letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What to hide: plain text, `<class n>`, `<class n..m>` or `<class n..>` for runs of characters, and
    /// `|` where the hidden part begins if that is not the start. It begins with at least three bytes
    /// of plain text. The classes are listed in `docs/redaction.md`.
    pub pattern: String,
    /// Texts in which the rule must find something.
    pub examples: Vec<String>,
    /// Texts in which it must find nothing.
    pub counter_examples: Vec<String>,
}

/// Why a rule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The pattern cannot be read or has no fixed text to look for.
    #[error("rule `{id}`: pattern `{pattern}`: {reason}")]
    Pattern {
        /// The rule.
        id: String,
        /// Its pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The id is empty, has other characters than it may, or is taken.
    #[error("rule `{id}`: the id must be new and of letters, digits, `-`, `_` and `.`")]
    Id {
        /// The rule.
        id: String,
    },
    /// The search for the rule's fixed text takes too much memory.
    #[error(
        "rule `{id}`: the search for its text takes {bytes} bytes, more than {MAX_AUTOMATON}; shorten the text"
    )]
    TooLarge {
        /// The rule.
        id: String,
        /// What it takes, in bytes.
        bytes: usize,
    },
    /// The rule finds too much in text without a secret.
    #[error(
        "rule `{id}`: it hides {touched} of {CLEAN} bytes of everyday output without a secret, such as `{sample}`, and may hide one in 10000; make the pattern narrower"
    )]
    Everyday {
        /// The rule.
        id: String,
        /// How many bytes it hides there.
        touched: usize,
        /// The beginning of the first of them. keyblind made them up.
        sample: String,
    },
    /// An example in which the rule finds nothing. The text is not repeated: it may be a secret.
    #[error("rule `{id}`: nothing is found in example {number}; correct the pattern or the example")]
    Example {
        /// The rule.
        id: String,
        /// Which example, from 1.
        number: usize,
    },
    /// A counter-example in which the rule finds something.
    #[error("rule `{id}`: something is found in counter-example {number}; make the pattern narrower")]
    CounterExample {
        /// The rule.
        id: String,
        /// Which counter-example, from 1.
        number: usize,
    },
}

/// The most memory that the search for one rule's fixed text may take, in bytes.
const MAX_AUTOMATON: usize = 256 * 1024;
/// So many bytes of everyday output each rule is tried on.
const CLEAN: usize = 512 * 1024;
/// A rule may hide one byte in so many there.
const MAX_TOUCHED: usize = 10_000;

/// Made when the first rule is read, for all rules of the process.
static EVERYDAY: LazyLock<String> = LazyLock::new(|| clean::text(CLEAN));

/// Operators' rules with a search for the texts that they begin with.
#[derive(Debug, Default)]
pub(crate) struct Custom {
    patterns: Vec<Pattern>,
    heads: Option<AhoCorasick>,
}

impl Custom {
    /// Parses a rule's pattern.
    pub(crate) fn parse(rule: &OperatorRule) -> Result<Pattern, RuleError> {
        let refused =
            |reason| RuleError::Pattern { id: rule.id.clone(), pattern: rule.pattern.clone(), reason };
        let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if rule.id.is_empty() || !rule.id.bytes().all(safe) {
            return Err(RuleError::Id { id: rule.id.clone() });
        }
        let pattern = Pattern::parse(&rule.pattern).map_err(refused)?;
        if pattern.has_lead() {
            return Err(refused("must begin with a text of at least 3 bytes".into()));
        }
        Ok(pattern)
    }

    /// Refuses a rule that costs too much, or that hides what is no secret.
    pub(crate) fn vet(id: &str, pattern: &Pattern) -> Result<(), RuleError> {
        let alone = Custom::new(vec![pattern.clone()]);
        let bytes = alone.heads.as_ref().map_or(usize::MAX, AhoCorasick::memory_usage);
        if bytes > MAX_AUTOMATON {
            return Err(RuleError::TooLarge { id: id.to_owned(), bytes });
        }
        let (text, mut hidden) = (EVERYDAY.as_bytes(), Vec::new());
        alone.each(text, true, |_, verdict| {
            if let Verdict::Span { start, end, .. } = verdict {
                hidden.push((start, end));
            }
        });
        // Spans of one rule may overlap.
        hidden.sort_unstable();
        let (mut touched, mut covered) = (0, 0);
        for &(start, end) in &hidden {
            touched += end.saturating_sub(start.max(covered));
            covered = covered.max(end);
        }
        match hidden.first() {
            Some(&(start, end)) if touched * MAX_TOUCHED > text.len() => {
                let sample = text[start..end.min(start + 40)].escape_ascii().to_string();
                Err(RuleError::Everyday { id: id.to_owned(), touched, sample })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn new(patterns: Vec<Pattern>) -> Custom {
        let heads = if patterns.is_empty() {
            None
        } else {
            AhoCorasick::new(patterns.iter().map(Pattern::head)).ok()
        };
        Custom { patterns, heads }
    }

    /// Calls `found` with the number of each rule whose text stands in `text`, and its verdict there.
    pub(crate) fn each(&self, text: &[u8], eof: bool, mut found: impl FnMut(usize, Verdict)) {
        let Some(heads) = &self.heads else { return };
        for find in heads.find_overlapping_iter(text) {
            let number = find.pattern().as_usize();
            let pattern = &self.patterns[number];
            if left_is_free(text, find.start()) {
                let gate = Gate { distinct: 0, digits: 0, entropy: 0.0 };
                let token = Token { elems: &pattern.elems, secret: pattern.secret, fold: false, gate };
                found(number, token::judge(&token, text, find.start(), eof));
            }
        }
    }

    /// The first position `p >= from` where `text` ends inside the first text of a rule that hides it.
    pub(crate) fn unfinished(&self, text: &[u8], from: usize) -> Option<usize> {
        let hidden = self.patterns.iter().filter(|pattern| pattern.secret == 0).map(Pattern::head);
        let held = hidden.filter_map(|head| {
            let first = from.max(text.len().saturating_sub(head.len() - 1));
            (first..text.len()).find(|&p| head.starts_with(&text[p..]) && left_is_free(text, p))
        });
        held.min()
    }
}
