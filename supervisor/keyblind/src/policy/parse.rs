//! Text of a policy file → [`Policy`].

use super::build::Builder;
use super::problem::Problem;
use super::tape::Tape;
use super::{BuiltIn, Policy, Report, Source, decode, document::Document};

/// What a file is laid over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base<'p> {
    /// The built-in policy that it extends.
    BuiltIn,
    /// The same, and the file is the host's own, which may lock itself.
    Host,
    /// The host's locked policy, in place of the built-in default.
    Locked(&'p Policy),
}

impl Policy {
    /// Reads a policy file that is not the host's. Errors: all mistakes of one kind (not TOML; keys, types and
    /// words; values that make no sense), each with its line.
    pub fn parse(text: &str, source: &Source) -> Result<Policy, Report> {
        parse(text, source, Base::BuiltIn)
    }
}

pub(super) fn parse(text: &str, source: &Source, base: Base<'_>) -> Result<Policy, Report> {
    let tape = Tape::parse(text).map_err(|errors| {
        let problems = errors.into_iter().map(|error| Problem::new("not TOML", error.span, error.message));
        Report::new(source, text, problems.collect())
    })?;
    let (document, problems) = decode::decode::<Document<'_>>(&tape);
    Report::unless_empty(source, text, problems)?;
    let extends = document.extends.map_or(BuiltIn::Default, |at| at.value.0);
    let mut policy = match base {
        Base::BuiltIn | Base::Host => extends.policy()?,
        Base::Locked(policy) => {
            let mut policy = policy.clone();
            extends.lay_over(&mut policy)?;
            policy
        }
    };
    let mut builder = Builder::for_file(&tape, source);
    builder.lay(&mut policy, &document, matches!(base, Base::Host));
    Report::unless_empty(source, text, builder.into_problems())?;
    Ok(policy)
}

#[cfg(test)]
mod tests;
