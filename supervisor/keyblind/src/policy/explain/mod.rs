//! What policy says about one object, which line says it, and what to change for another answer.
//!
//! Pure: it knows names and not files, so it says nothing about links; the run itself judges objects.

mod connect;
mod path;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::variables::{Fate, Why, fate};
use super::{Located, Mode, Origin, Policy, Roots};

/// What somebody wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Whether a run can read a path: absolute, below `~/`, or relative to the project.
    Read(PathBuf),
    /// Whether a run can change it.
    Write(PathBuf),
    /// Whether a command gets a variable of the caller.
    Variable(OsString),
    /// Whether a run can connect to an address, a host name, or a socket by path or by its name in `[sockets]`.
    Connect(String),
}

impl Query {
    /// What an object most likely is, when nobody says: an address, a path, or a variable.
    pub fn guess(object: OsString) -> Query {
        let text = object.to_string_lossy();
        let variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if connect::is_target(&text) {
            return Query::Connect(text.into_owned());
        }
        if !text.is_empty() && text.bytes().all(variable) {
            return Query::Variable(object);
        }
        Query::Read(object.into())
    }
}

/// The answer. Ordered: a later one lets less through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It passes and is recorded.
    Flag,
    /// A copy with marked values.
    Mask,
    /// As if it did not exist.
    Hide,
    /// Refused.
    Deny,
}

impl Verdict {
    /// Its word, as events have it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Flag => "flag",
            Verdict::Mask => "mask",
            Verdict::Hide => "hide",
            Verdict::Deny => "deny",
        }
    }
}

/// The answer, with what it rests on. Shown as five lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// What was asked, in full.
    pub object: String,
    /// The rule, as in `guard aws.credentials` or ``files.read `/usr` ``.
    pub rule: String,
    /// Where the rule is written. `None` where the answer is that nothing is.
    pub origin: Option<Origin>,
    /// Why.
    pub reason: String,
    /// What to write for another answer. Empty where nothing in policy changes it.
    pub change: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { verdict, object, rule, origin, reason, change } = self;
        writeln!(f, "{:<8}{object}", verdict.name())?;
        write!(f, "rule    {rule}")?;
        if let Some(origin) = origin {
            write!(f, "\nat      {origin}")?;
        }
        write!(f, "\nwhy     {reason}")?;
        if !change.is_empty() {
            write!(f, "\nchange  {change}")?;
        }
        Ok(())
    }
}

/// What was asked, in words, waiting for its answer.
struct Asked(String);

impl Asked {
    fn answer(
        &self,
        verdict: Verdict,
        rule: impl Into<String>,
        origin: Option<&Origin>,
        reason: impl Into<String>,
        change: impl Into<String>,
    ) -> Explanation {
        Explanation {
            verdict,
            object: self.0.clone(),
            rule: rule.into(),
            origin: origin.cloned(),
            reason: reason.into(),
            change: change.into(),
        }
    }
}

/// Answers `query` for a run with these roots.
pub fn explain(policy: &Policy, query: &Query, roots: &Roots<'_>) -> Explanation {
    let mut explanation = match query {
        Query::Read(path) => path::read(policy, path, roots),
        Query::Write(path) => path::write(policy, path, roots),
        Query::Variable(name) => variable(policy, name),
        Query::Connect(target) => connect::connect(policy, target, roots),
    };
    if policy.locked && explanation.verdict > Verdict::Allow && !explanation.change.is_empty() {
        explanation.change.push_str(" (the host's policy is locked: only its owner can)");
    }
    explanation
}

/// What a refusal becomes in audit mode.
fn under(mode: &Located<Mode>, verdict: Verdict, reason: String) -> (Verdict, String) {
    match mode.value {
        Mode::Enforce => (verdict, reason),
        Mode::Audit => {
            (Verdict::Flag.min(verdict), format!("{reason}; mode audit ({}) lets it pass", mode.origin))
        }
    }
}

fn variable(policy: &Policy, name: &OsStr) -> Explanation {
    let shown = name.display();
    let asked = Asked(format!("variable {shown}"));
    match fate(policy, name.as_bytes(), None) {
        Fate::Keep(Located { value, origin }) => asked.answer(
            Verdict::Allow,
            format!("variables.keep `{value}`"),
            Some(origin),
            "kept as the caller has it",
            format!("variables.keep = [\"!{value}\"] takes that out"),
        ),
        Fate::Checked(origin) => asked.answer(
            Verdict::Allow,
            format!("variables.check `{shown}`"),
            Some(origin),
            "kept if its value matches the expression there, else dropped",
            format!("variables.check = {{ \"!{shown}\" = \"\" }} takes that out"),
        ),
        Fate::Drop(Why::Set(origin)) => asked.answer(
            Verdict::Allow,
            format!("variables.set `{shown}`"),
            Some(&origin),
            "policy gives it a value; the caller's is dropped",
            format!("variables.set = {{ \"!{shown}\" = \"\" }} takes that out"),
        ),
        Fate::Drop(Why::Never(Located { value, origin })) => asked.answer(
            Verdict::Deny,
            format!("variables.never `{value}`"),
            Some(&origin),
            "no list and no option may keep or set it",
            format!("variables.never = [\"!{value}\"] takes that out"),
        ),
        Fate::Drop(Why::NotListed | Why::Check(_) | Why::Repeated) => asked.answer(
            Verdict::Deny,
            "variables.keep",
            None,
            "nothing keeps it, and a command starts with what is kept or set and nothing else",
            format!("variables.keep = [\"{shown}\"], or `--env {shown}` for one run"),
        ),
    }
}

#[cfg(test)]
mod tests;
