//! Guards: objects that a run must not read, or must not change.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::word::named;
use super::{Located, NamePattern, Origin, PathPattern, Policy, Roots};

named!(Access { Read = "read", Write = "write" });
named!(Action { Deny = "deny", Hide = "hide", Mask = "mask", Flag = "flag", Allow = "allow" });

/// What a guard refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Opening for reading, and with it everything that reveals content.
    Read,
    /// Creating, changing, renaming and removing, so that the host does not execute later what a run planted.
    Write,
}

/// What happens to an access that a guard concerns. Ordered: a later one is tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Passes, unrecorded: an exception from guards that stand before it.
    Allow,
    /// Passes and is recorded.
    Flag,
    /// The reader gets a copy with the same keys and marked values.
    Mask,
    /// Refused as if the object did not exist (ENOENT).
    Hide,
    /// Refused (EACCES).
    Deny,
}

/// Keys of one configuration file that must not be set, for files of which the rest may change.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardKeys {
    /// The file, in git's configuration format.
    pub file: Located<PathPattern>,
    /// `section.key` or `section.*.key`, compared without case; `*` stands for any bytes.
    pub deny: Vec<Located<super::Glob>>,
}

/// One protected object, or a family of them. Has at least one of `path`, `name` and `keys`.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Unique in a policy; what events and `explain` cite.
    pub id: Located<String>,
    /// Files, and directories with all below them.
    pub path: Vec<Located<PathPattern>>,
    /// File names, anywhere below `under`. A name with `*` is refused only where the content is secret.
    pub name: Vec<Located<NamePattern>>,
    /// The trees in which `name` counts. Not empty when `name` is not.
    pub under: Vec<Located<PathPattern>>,
    /// File names that `path` and `name` leave alone.
    pub except: Vec<Located<NamePattern>>,
    /// What is refused.
    pub access: Access,
    /// How it is refused.
    pub action: Located<Action>,
    /// Whether secret-looking values in the object are redacted wherever they turn up.
    pub needles: bool,
    /// Keys of a configuration file.
    pub keys: Option<GuardKeys>,
    /// Why, in the operator's words: shown to whoever is refused.
    pub reason: String,
}

impl Guard {
    /// Where the guard was written.
    pub fn origin(&self) -> &Origin {
        &self.id.origin
    }

    /// Whether the guard is about `path`, absolute and without `..`; by name only, since policy knows no files.
    pub fn concerns(&self, path: &Path, roots: &Roots<'_>) -> bool {
        let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        if self.except.iter().any(|except| except.value.matches(name)) {
            return false;
        }
        let below = |list: &[Located<PathPattern>]| list.iter().any(|tree| tree.value.contains(path, roots));
        below(&self.path) || (self.name_of(name).is_some() && below(&self.under))
    }

    /// The entry of `name` that `name`, a last component of a path, is one of.
    pub fn name_of(&self, name: &[u8]) -> Option<&Located<NamePattern>> {
        self.name.iter().find(|pattern| pattern.value.matches(name))
    }
}

impl Policy {
    /// The guard that decides about an access to `path`: the tightest of those that concern it, the first among
    /// equals. An exception (`allow`) takes back what the guards before it said.
    pub fn judge(&self, access: Access, path: &Path, roots: &Roots<'_>) -> Option<&Guard> {
        let mut decides: Option<&Guard> = None;
        for guard in self.guards.iter().filter(|guard| guard.access == access) {
            let tighter = decides.is_none_or(|have| {
                guard.action.value > have.action.value || guard.action.value == Action::Allow
            });
            if tighter && guard.concerns(path, roots) {
                decides = Some(guard);
            }
        }
        decides
    }
}
