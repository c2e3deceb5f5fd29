//! `[host]`: what `keyblind host up` does beyond serving runs.

use std::fmt;

use super::Located;

/// A cgroup by its path below the top of the hierarchy, without a slash at its start: `agents.slice`,
/// `user.slice/user-1000.slice`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slice(String);

/// Kernel programs look for a slice at this level below the top and at none deeper.
const DEEPEST: usize = 4;

impl Slice {
    /// Reads a path. Errors are clauses about it.
    pub fn new(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let bad =
            |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains(['*', '\0']);
        if text.starts_with('/') || parts.iter().any(bad) {
            return Err(
                "is not a cgroup below the top; write it as in `user.slice/user-1000.slice`".to_owned()
            );
        }
        if parts.first() == Some(&"keyblind") {
            return Err("is where runs have their own cgroups, which are guarded anyway".to_owned());
        }
        if parts.len() > DEEPEST {
            return Err(format!("is more than {DEEPEST} levels deep; name the slice above it"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path below the top.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many levels it is below the top: 1 to 4.
    pub fn level(&self) -> usize {
        self.0.split('/').count()
    }

    /// Whether `other` is this slice or lies in it.
    pub fn covers(&self, other: &Slice) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[host]`
#[derive(Debug, Clone, PartialEq)]
pub struct HostSettings {
    /// Slices whose processes are held to the host's policy although they never call keyblind.
    pub always: Vec<Located<Slice>>,
    /// Slices of which accesses to guarded objects are recorded and let pass.
    pub flag: Vec<Located<Slice>>,
    /// Flags recorded per minute for all of `flag`; what is more is counted.
    pub flags_per_minute: Located<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_path_below_the_top() {
        assert_eq!(Slice::new("agents.slice").map(|slice| slice.level()), Ok(1));
        assert_eq!(Slice::new("a/b/c/d").map(|slice| slice.level()), Ok(4));
        for bad in [
            "",
            "/",
            "/agents.slice",
            "a//b",
            "a/..",
            "./a",
            "a/",
            "a*",
            "keyblind",
            "keyblind/r-1",
            "a/b/c/d/e",
        ] {
            assert!(Slice::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slice_covers_what_lies_in_it() {
        let slice = |text| Slice::new(text).unwrap();
        assert!(slice("a").covers(&slice("a")));
        assert!(slice("a").covers(&slice("a/b")));
        assert!(!slice("a").covers(&slice("ab")));
        assert!(!slice("a/b").covers(&slice("a")));
    }
}
