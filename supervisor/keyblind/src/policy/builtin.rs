//! The policies that come with the binary.

use std::borrow::Cow;

use super::settings::named;
use super::tape::{Tape, Token};
use super::{Policy, Report, Source, build, decode, document::Document};

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
        let mut policy = build::bare(&Source::BuiltIn("default.toml"));
        self::lay(&mut policy, "default.toml", DEFAULT, tokens::DEFAULT)?;
        self::lay(&mut policy, "guards.toml", GUARDS, tokens::GUARDS)?;
        self.lay_over(&mut policy)?;
        Ok(policy)
    }

    /// Lays what this policy changes in the default over `policy`.
    pub(super) fn lay_over(self, policy: &mut Policy) -> Result<(), Report> {
        match self {
            BuiltIn::Default => Ok(()),
            BuiltIn::Strict => self::lay(policy, "strict.toml", STRICT, tokens::STRICT),
            BuiltIn::Audit => self::lay(policy, "audit.toml", AUDIT, tokens::AUDIT),
        }
    }
}

/// The guards of the built-in default, as they were written.
pub fn guards_text() -> &'static str {
    GUARDS
}

fn lay(
    policy: &mut Policy,
    name: &'static str,
    text: &'static str,
    tokens: &'static [Token],
) -> Result<(), Report> {
    let source = Source::BuiltIn(name);
    let tape = Tape { text, tokens: Cow::Borrowed(tokens), owned: Vec::new() };
    let (document, mut problems) = decode::decode::<Document<'_>>(&tape);
    problems.extend(build::apply(policy, &document, &tape, &source, false));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Report::new(&source, text, problems)),
    }
}
