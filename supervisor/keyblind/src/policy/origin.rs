//! Where a value of a policy was written, so that a refusal can name file and line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What a piece of policy came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A file compiled into the binary, by its name under `policies/`.
    BuiltIn(&'static str),
    /// A file that an operator wrote.
    File(Arc<Path>),
    /// An option of the command line, with its dashes.
    Option(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::BuiltIn(name) => write!(f, "built-in {name}"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Option(name) => f.write_str(name),
        }
    }
}

/// The source of one value and its line there. Shown as `FILE:LINE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// File, built-in file or option.
    pub source: Source,
    /// Counted from 1. 0 where the source has no lines (an option).
    pub line: u32,
}

impl Origin {
    /// The origin of what an option of the command line says.
    pub fn option(name: &'static str) -> Origin {
        Origin { source: Source::Option(name), line: 0 }
    }

    /// Whether the value comes with the binary, and so was not asked for by an operator in so many words.
    pub fn is_built_in(&self) -> bool {
        matches!(self.source, Source::BuiltIn(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.source),
            line => write!(f, "{}:{line}", self.source),
        }
    }
}

/// A value and where it was written. Equality looks at the value only: the same wish written in two files is
/// the same wish.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

impl<T> Located<T> {
    /// A value with its origin.
    pub fn new(value: T, origin: Origin) -> Located<T> {
        Located { value, origin }
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}
