//! The policies that come with the binary.

use std::borrow::Cow;

use super::build::{Builder, bare};
use super::document::{Document, GuardDoc};
use super::tape::{Tape, Token};
use super::word::named;
use super::{Policy, Report, Source, decode};

mod tokens {
    use super::super::tape::Kind::{Array, Bare, Boolean, Integer, Quoted, Table};
    use super::Token;

    include!(concat!(env!("OUT_DIR"), "/policies.rs"));
}

/// SHA-256 of `default.toml` and `guards.toml` in a row.
pub(super) const SHA256: [u8; 32] = tokens::SHA256;

const DEFAULT: &str = include_str!("../../../../policies/default.toml");
const GUARDS: &str = include_str!("../../../../policies/guards.toml");
const STRICT: &str = include_str!("../../../../policies/strict.toml");
const AUDIT: &str = include_str!("../../../../policies/audit.toml");

/// A policy that others may extend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuiltIn {
    /// `default.toml` and `guards.toml`.
    Default,
    /// The default, tightened.
    Strict,
    /// The default in audit mode.
    Audit,
}

named!(BuiltIn { Default = "default", Strict = "strict", Audit = "audit" });

impl BuiltIn {
    /// The file as it was written. The default's guards are in [`guards_text`].
    pub fn text(self) -> &'static str {
        match self {
            BuiltIn::Default => DEFAULT,
            BuiltIn::Strict => STRICT,
            BuiltIn::Audit => AUDIT,
        }
    }

    /// The whole policy. Errors: none that a build of keyblind with passing tests can give.
    pub fn policy(self) -> Result<Policy, Report> {
        let source = Source::BuiltIn("default.toml");
        let mut policy = bare(&source);
        lay(&mut policy, source, DEFAULT, tokens::DEFAULT)?;
        guards(&mut policy)?;
        self.lay_over(&mut policy)?;
        Ok(policy)
    }

    /// Lays what this policy changes in the default over `policy`.
    pub(super) fn lay_over(self, policy: &mut Policy) -> Result<(), Report> {
        match self {
            BuiltIn::Default => Ok(()),
            BuiltIn::Strict => lay(policy, Source::BuiltIn("strict.toml"), STRICT, tokens::STRICT),
            BuiltIn::Audit => lay(policy, Source::BuiltIn("audit.toml"), AUDIT, tokens::AUDIT),
        }
    }
}

/// The guards of the built-in default, as they were written.
pub fn guards_text() -> &'static str {
    GUARDS
}

fn tape(text: &'static str, tokens: &'static [Token]) -> Tape<'static> {
    Tape { text, tokens: Cow::Borrowed(tokens), owned: Vec::new() }
}

fn lay(
    policy: &mut Policy,
    source: Source,
    text: &'static str,
    tokens: &'static [Token],
) -> Result<(), Report> {
    let tape = tape(text, tokens);
    let (document, mut problems) = decode::decode::<Document<'_>>(&tape);
    let mut builder = Builder::for_built_in(&tape, &source);
    builder.lay(policy, &document, false);
    problems.extend(builder.into_problems());
    Report::unless_empty(&source, text, problems)
}

/// One guard at a time: there are many, and only they are wanted of this file.
fn guards(policy: &mut Policy) -> Result<(), Report> {
    let source = Source::BuiltIn("guards.toml");
    let tape = tape(GUARDS, tokens::GUARDS);
    let mut builder = Builder::for_built_in(&tape, &source);
    let mut problems = decode::each::<GuardDoc<'_>>(&tape, "guard", |guard, count| {
        policy.guards.reserve_exact(count);
        builder.built_in_guard(&mut policy.guards, &guard);
    });
    problems.extend(builder.into_problems());
    Report::unless_empty(&source, GUARDS, problems)
}

#[cfg(test)]
mod tests;
