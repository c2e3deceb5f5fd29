//! What to look for, compiled.

use std::fmt;
use std::sync::Arc;

use crate::encode::{Encodings, expand};
use crate::json::JsonRedactor;
use crate::literal::Literals;
use crate::shape::pattern::Pattern;
use crate::shape::table::RULES;
use crate::shape::{Confidence, Custom, OperatorRule, RuleError};
use crate::stream::Redactor;
use crate::vet::{self, SkipReason, Skipped};

/// Which built-in rules are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shapes {
    /// All rules of `policies/redaction`.
    #[default]
    Default,
    /// The rules of [`Confidence::High`](crate::Confidence::High): for source code, where a value beside
    /// a telling name is mostly no secret and a mark in its place breaks the program.
    Code,
    /// Known values only.
    None,
}

impl Shapes {
    /// Whether a rule of this confidence belongs to the set.
    pub(crate) fn has(self, confidence: Confidence) -> bool {
        match self {
            Shapes::Default => true,
            Shapes::Code => confidence >= Confidence::High,
            Shapes::None => false,
        }
    }
}

/// What stands in the output in place of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// `[REDACTED]`
    Plain,
    /// `[REDACTED:NAME]`, with the needle's name or the rule's id.
    #[default]
    Name,
}

/// Collects needles, encodings and rules for a [`Matcher`].
#[derive(Default)]
pub struct Builder {
    needles: Vec<(Arc<str>, Vec<u8>)>,
    skipped: Vec<Skipped>,
    encodings: Encodings,
    shapes: Shapes,
    mark: Mark,
    rules: Vec<(Arc<str>, Pattern)>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("needles", &self.needles.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("skipped", &self.skipped)
            .field("encodings", &self.encodings)
            .field("shapes", &self.shapes)
            .field("mark", &self.mark)
            .finish()
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.needles.iter_mut().for_each(|(_, value)| crate::literal::wipe(value));
    }
}

impl Builder {
    /// Looks for `value`, without white space at its ends, in all encodings.
    ///
    /// A value that is too short or too common to be told from ordinary text is not looked for:
    /// [`Builder::skipped`] and [`Matcher::skipped`] name it. One of more than 16 KiB is looked for
    /// line by line. A value given twice keeps its first name.
    #[must_use]
    pub fn needle(mut self, name: &str, value: &[u8]) -> Self {
        let value = value.trim_ascii();
        match vet::refuse(value) {
            Some(reason) => self.skipped.push(Skipped { name: name.into(), reason }),
            None => self.needles.push((name.into(), value.to_vec())),
        }
        self
    }

    /// Sets the encodings of all needles. Default: all.
    #[must_use]
    pub fn encodings(mut self, encodings: Encodings) -> Self {
        self.encodings = encodings;
        self
    }

    /// Sets the built-in rules. Default: all.
    #[must_use]
    pub fn shapes(mut self, shapes: Shapes) -> Self {
        self.shapes = shapes;
        self
    }

    /// Adds a rule of the operator's own.
    ///
    /// # Errors
    /// The pattern cannot be used, the id is taken, an example speaks against the rule, its search takes more
    /// than 256 KiB, or it hides more than 0.01 % of 512 KiB of everyday output that is made for this.
    pub fn rule(mut self, rule: &OperatorRule) -> Result<Self, RuleError> {
        let id = &rule.id;
        let pattern = Custom::parse(rule)?;
        if RULES.iter().any(|r| r.id == id) || self.rules.iter().any(|(taken, _)| **taken == **id) {
            return Err(RuleError::Id { id: id.clone() });
        }
        let mut alone = Builder::default().shapes(Shapes::None);
        alone.rules.push((id.as_str().into(), pattern.clone()));
        let alone = alone.build();
        let finds = |text: &String| {
            let (mut redactor, mut out) = (alone.redactor(), Vec::new());
            redactor.push(text.as_bytes(), &mut out).len() + redactor.finish(&mut out).len() > 0
        };
        if let Some(at) = rule.examples.iter().position(|text| !finds(text)) {
            return Err(RuleError::Example { id: id.clone(), number: at + 1 });
        }
        if let Some(at) = rule.counter_examples.iter().position(finds) {
            return Err(RuleError::CounterExample { id: id.clone(), number: at + 1 });
        }
        Custom::vet(id, &pattern)?;
        self.rules.push((id.as_str().into(), pattern));
        Ok(self)
    }

    /// Sets the mark. Default: with the name.
    #[must_use]
    pub fn mark(mut self, mark: Mark) -> Self {
        self.mark = mark;
        self
    }

    /// The needles that were given and are not looked for, so far.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Compiles. Costs about 10 µs per needle.
    pub fn build(mut self) -> Matcher {
        let mut literals = Literals::default();
        let mut skipped = std::mem::take(&mut self.skipped);
        for (name, value) in &self.needles {
            if let Some(reason) = add(&mut literals, name, value, self.encodings) {
                skipped.push(Skipped { name: name.clone(), reason });
            }
        }
        literals.index();
        let (names, patterns): (Vec<Arc<str>>, Vec<Pattern>) =
            std::mem::take(&mut self.rules).into_iter().unzip();
        let rules = RULES.iter().map(|rule| Arc::from(rule.id)).chain(names).collect();
        Matcher {
            literals: Arc::new(literals),
            fixed: Arc::new(Fixed {
                skipped,
                encodings: self.encodings,
                shapes: self.shapes,
                mark: self.mark,
                rules,
                custom: Custom::new(patterns),
            }),
        }
    }
}

/// Adds all forms of `value`, trimmed and vetted; gives why it could not be added.
fn add(literals: &mut Literals, name: &Arc<str>, value: &[u8], encodings: Encodings) -> Option<SkipReason> {
    if literals.has_value(value) {
        return None;
    }
    let number = literals.name(name.clone());
    let mut added = false;
    expand(value, encodings, &mut |encoding, form| {
        if form.len() <= vet::MAX_LEN {
            literals.add(number, encoding, form);
            added = true;
        }
    });
    (!added).then_some(SkipReason::TooLong { max: vet::MAX_LEN })
}

/// What never changes after `build`.
pub(crate) struct Fixed {
    skipped: Vec<Skipped>,
    encodings: Encodings,
    pub(crate) shapes: Shapes,
    mark: Mark,
    /// Names of the built-in rules, then of the operator's.
    pub(crate) rules: Vec<Arc<str>>,
    pub(crate) custom: Custom,
}

/// A compiled set of needles and rules. Cloning shares it.
#[derive(Clone)]
pub struct Matcher {
    pub(crate) literals: Arc<Literals>,
    pub(crate) fixed: Arc<Fixed>,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("literals", &self.literals)
            .field("skipped", &self.fixed.skipped)
            .field("shapes", &self.fixed.shapes)
            .finish_non_exhaustive()
    }
}

impl Matcher {
    /// An empty builder: no needle, all encodings, all rules, named marks.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The state for one stream.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.clone())
    }

    /// The state for one stream of JSON lines or of frames with `Content-Length`. With `every_line` each line
    /// is held until it is complete; without, only lines that begin like JSON, so that a prompt between
    /// them goes out at once.
    pub fn json_redactor(&self, every_line: bool) -> JsonRedactor {
        JsonRedactor::new(self.clone(), every_line)
    }

    /// The needles that are not looked for, by name, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.fixed.skipped
    }

    /// Adds a needle to this copy alone; the clones keep what they had.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) -> Option<Skipped> {
        let (name, value) = (Arc::from(name), value.trim_ascii());
        let refused = vet::refuse(value);
        let literals = Arc::make_mut(&mut self.literals);
        if let Some(reason) = refused.or_else(|| add(literals, &name, value, self.fixed.encodings)) {
            return Some(Skipped { name, reason });
        }
        literals.index();
        None
    }

    /// Writes the mark for `name`. Its bytes are safe inside JSON strings, XML, YAML and URLs' text:
    /// other characters than letters, digits, `_`, `-` and `.` become `_`.
    pub(crate) fn write_mark(&self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"[REDACTED");
        if self.fixed.mark == Mark::Name {
            out.push(b':');
            let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
            out.extend(name.bytes().map(|b| if safe(b) { b } else { b'_' }));
        }
        out.push(b']');
    }
}
