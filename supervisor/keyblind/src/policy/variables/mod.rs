//! What becomes of each variable of whoever starts a run.

mod secret;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use regex::bytes::RegexBuilder;

use super::{Glob, Located, Origin, Policy};

pub use secret::{looks_secret, url_password};

/// What a command starts with, and what it does not get.
#[derive(Debug)]
pub struct Scrubbed {
    /// Everything that the command starts with: what was kept, in the order given, then what policy sets.
    pub kept: Vec<(OsString, OsString)>,
    /// What the command does not get, in the order given.
    pub dropped: Vec<Dropped>,
    /// How many of `kept`, at its end, are policy's own.
    pub set: usize,
}

/// A variable that the command does not get. Its value may be a secret: it is not shown by `Debug`.
pub struct Dropped {
    /// Its name.
    pub name: OsString,
    /// Its value, to be redacted from output if `secret_looking`, and wiped.
    pub value: OsString,
    /// Which rule dropped it.
    pub why: Why,
    /// Whether its name or its value say that it is a secret ([`looks_secret`]).
    pub secret_looking: bool,
}

impl Dropped {
    /// The values that must not turn up in output: the whole, and the password alone if it is a URL with one.
    /// None for a variable that does not look secret.
    pub fn needles(&self) -> impl Iterator<Item = &[u8]> {
        let value = self.value.as_bytes();
        let whole = self.secret_looking.then_some(value);
        whole.into_iter().chain(url_password(value).filter(|_| self.secret_looking))
    }
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dropped { name, value: _, why, secret_looking } = self;
        f.debug_struct("Dropped")
            .field("name", name)
            .field("why", why)
            .field("secret_looking", secret_looking)
            .finish_non_exhaustive()
    }
}

/// Why a variable was dropped. Shown with the line that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No rule keeps it.
    NotListed,
    /// `variables.never`
    Never(Located<Glob>),
    /// Its value does not match `variables.check`; here is where that stands.
    Check(Origin),
    /// Policy sets it itself; here is where.
    Set(Origin),
    /// The same name came before.
    Repeated,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NotListed => f.write_str("variables.keep does not name it"),
            Why::Never(Located { value, origin }) => write!(f, "variables.never `{value}` ({origin})"),
            Why::Check(origin) => write!(f, "its value does not match variables.check ({origin})"),
            Why::Set(origin) => write!(f, "variables.set gives it another value ({origin})"),
            Why::Repeated => f.write_str("its name came before"),
        }
    }
}

/// Why a variable that an option asks for cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScrubError {
    /// The name is none.
    #[error("{0:?} is not the name of a variable; write the name only, without a value")]
    NotAName(String),
    /// `never` has it.
    #[error("{name} can never be kept: variables.never `{glob}` ({origin})")]
    Never {
        /// The variable.
        name: String,
        /// The rule.
        glob: Glob,
        /// Where the rule stands.
        origin: Origin,
    },
    /// The host's policy is locked.
    #[error(
        "{0} is not kept by the host's policy, which is locked; its owner could add it to variables.keep"
    )]
    Locked(String),
}

/// What policy says about one variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate<'p> {
    Keep(&'p Located<Glob>),
    /// The value matches the check.
    Checked(&'p Origin),
    Drop(Why),
}

/// The rule for a variable of that name and value. Without a value a check counts as passed.
pub(super) fn fate<'p>(policy: &'p Policy, name: &[u8], value: Option<&[u8]>) -> Fate<'p> {
    let variables = &policy.variables;
    if let Some(never) = variables.never.iter().find(|never| never.value.matches(name)) {
        return Fate::Drop(Why::Never(never.clone()));
    }
    if let Some((_, set)) = variables.set.iter().find(|(set, _)| set.as_bytes() == name) {
        return Fate::Drop(Why::Set(set.origin.clone()));
    }
    if let Some(check) = variables.check.iter().find(|check| check.name.as_bytes() == name) {
        let origin = &check.pattern.origin;
        // Compiled here, since few runs have a variable that is checked. One that does not compile keeps nothing.
        let regex = RegexBuilder::new(&check.pattern.value).unicode(false).size_limit(1 << 20).build();
        let passes = value.is_none_or(|value| regex.is_ok_and(|regex| regex.is_match(value)));
        return if passes { Fate::Checked(origin) } else { Fate::Drop(Why::Check(origin.clone())) };
    }
    match variables.keep.iter().find(|keep| keep.value.matches(name)) {
        Some(keep) => Fate::Keep(keep),
        None => Fate::Drop(Why::NotListed),
    }
}

/// Divides the caller's variables. `extra` names some that are kept besides policy's, whatever `check` says of
/// them; one that the caller does not have is passed over. Names and values need not be UTF-8. Errors: a name in
/// `extra` that policy does not let be kept.
pub fn scrub(
    policy: &Policy,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    extra: &[String],
) -> Result<Scrubbed, ScrubError> {
    for name in extra {
        may_keep(policy, name)?;
    }
    let mut scrubbed = Scrubbed { kept: Vec::new(), dropped: Vec::new(), set: 0 };
    let mut seen: HashSet<OsString> = HashSet::new();
    for (name, value) in variables {
        let why = match fate(policy, name.as_bytes(), Some(value.as_bytes())) {
            // Programs disagree on which of two equal names counts, so a second one could carry past a check.
            _ if seen.contains(&name) => Some(Why::Repeated),
            Fate::Keep(_) | Fate::Checked(_) => None,
            Fate::Drop(Why::NotListed | Why::Check(_))
                if extra.iter().any(|extra| OsStr::new(extra) == name) =>
            {
                None
            }
            Fate::Drop(why) => Some(why),
        };
        seen.insert(name.clone());
        match why {
            None => scrubbed.kept.push((name, value)),
            Some(why) => {
                let secret_looking = looks_secret(name.as_bytes(), value.as_bytes());
                scrubbed.dropped.push(Dropped { name, value, why, secret_looking });
            }
        }
    }
    for (name, value) in &policy.variables.set {
        // A policy that extends another may have added a `never` for what the other sets.
        if !policy.variables.never.iter().any(|never| never.value.matches(name.as_bytes())) {
            scrubbed.kept.push((name.into(), value.value.as_str().into()));
            scrubbed.set += 1;
        }
    }
    Ok(scrubbed)
}

fn may_keep(policy: &Policy, name: &str) -> Result<(), ScrubError> {
    if name.is_empty() || name.contains(['=', '\0']) {
        let shown = name.split('=').next().unwrap_or_default();
        return Err(ScrubError::NotAName(shown.to_owned()));
    }
    match fate(policy, name.as_bytes(), None) {
        Fate::Drop(Why::Never(Located { value, origin })) => {
            Err(ScrubError::Never { name: name.to_owned(), glob: value, origin })
        }
        Fate::Keep(_) | Fate::Checked(_) => Ok(()),
        Fate::Drop(_) if policy.locked => Err(ScrubError::Locked(name.to_owned())),
        Fate::Drop(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
