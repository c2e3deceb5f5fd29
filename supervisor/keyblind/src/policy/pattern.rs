//! Patterns of policy: for names (`LC_*`), for file names (`.env.{test,production}`) and for paths
//! (`~/.config/git`, `/lib*`). All are pure and know no file system; `plan` resolves paths.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a pattern was refused. The text is a clause without an object: whoever reports it names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("is empty")]
    Empty,
    #[error("holds a NUL byte")]
    Nul,
    #[error("is relative; write an absolute path, `~/…` or `${{project}}/…`")]
    Relative,
    #[error("holds `..`; write the path without it")]
    Parent,
    #[error("names another user's home; write the absolute path")]
    OtherHome,
    #[error("holds `$`; only `${{project}}` is replaced, and only at the start")]
    Variable,
    #[error("holds `{0}`; only `*` is special here")]
    Special(char),
    #[error("has an unclosed or unopened brace")]
    Brace,
    #[error("stands for more than {MAX_ALTERNATIVES} names")]
    Alternatives,
    #[error("holds `/`; a file name is wanted here, not a path")]
    Slash,
}

/// A bound on what braces may multiply to, so that a policy cannot exhaust memory.
const MAX_ALTERNATIVES: usize = 256;

/// Text of a pattern. That of the built-in policies is not copied: there are hundreds of patterns on the way to
/// each run.
type Text = Cow<'static, str>;

/// A pattern for a name. `*` stands for any bytes, none included; everything else is itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob(Text);

impl Glob {
    /// Reads a pattern. Errors: empty, a NUL byte, or one of `?[]{}` which other tools' patterns have and this
    /// one does not.
    pub fn new(text: &str) -> Result<Glob, PatternError> {
        check_glob(text)?;
        Ok(Glob(Cow::Owned(text.to_owned())))
    }

    /// A pattern of a built-in policy: tests have read it with [`Glob::new`].
    pub(super) fn known(text: &'static str) -> Glob {
        Glob(Cow::Borrowed(text))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for one name only.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` is one that the pattern stands for.
    pub fn matches(&self, name: &[u8]) -> bool {
        glob_matches(self.0.as_bytes(), name)
    }

    /// Whether every name that `other` stands for is one of ours. Never wrongly true: a `*` of `other` is
    /// absorbed only by a `*` of ours.
    pub fn covers(&self, other: &Glob) -> bool {
        glob_matches(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pattern for the last component of a path: globs with alternatives, `.env.{test,production}{,.local}`.
#[derive(Clone, PartialEq, Eq)]
pub struct NamePattern {
    text: Glob,
    /// Empty where the text has no braces and is itself the only alternative.
    alternatives: Vec<Glob>,
}

impl NamePattern {
    /// Reads a pattern and expands its braces. Errors: as [`Glob::new`], braces that do not pair, a slash,
    /// more alternatives than a policy can sensibly hold.
    pub fn new(text: &str) -> Result<NamePattern, PatternError> {
        if text.contains('/') {
            return Err(PatternError::Slash);
        }
        if !text.contains(['{', '}']) {
            return Ok(NamePattern { text: Glob::new(text)?, alternatives: Vec::new() });
        }
        let alternatives = expand(text)?.iter().map(|one| Glob::new(one)).collect::<Result<_, _>>()?;
        Ok(NamePattern { text: Glob(Cow::Owned(text.to_owned())), alternatives })
    }

    /// A pattern without braces of a built-in policy: tests have read it with [`NamePattern::new`].
    pub(super) fn known(text: &'static str) -> NamePattern {
        NamePattern { text: Glob::known(text), alternatives: Vec::new() }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The pattern with its braces multiplied out.
    pub fn alternatives(&self) -> &[Glob] {
        match self.alternatives.as_slice() {
            [] => std::slice::from_ref(&self.text),
            alternatives => alternatives,
        }
    }

    /// Whether it stands for a finite list of names. Names of a guard that are not exact are refused only if
    /// the content is secret.
    pub fn is_exact(&self) -> bool {
        self.alternatives().iter().all(Glob::is_exact)
    }

    /// Whether `name`, a single path component, is one that the pattern stands for.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.alternatives().iter().any(|glob| glob.matches(name))
    }

    /// Whether every name that `other` stands for is one of ours.
    pub fn covers(&self, other: &NamePattern) -> bool {
        other.alternatives().iter().all(|theirs| self.alternatives().iter().any(|ours| ours.covers(theirs)))
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.text, f)
    }
}

/// What the beginning of a path pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// `/`
    Root,
    /// `~`, the home of the user whose run it is.
    Home,
    /// `${project}`, the working directory of the run.
    Project,
}

impl Base {
    /// How many there are.
    pub(super) const COUNT: usize = 3;
}

/// What [`Base::Home`] and [`Base::Project`] are in one run. Both absolute.
#[derive(Debug, Clone, Copy)]
pub struct Roots<'a> {
    /// The working directory of the run.
    pub project: &'a Path,
    /// The home of the user of the run; absent when that user has none.
    pub home: Option<&'a Path>,
}

/// A path of a policy, kept symbolic until a run is planned. `*` stands for any bytes within one component.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    /// Where it begins.
    pub base: Base,
    rest: Text,
    /// Whether `rest` has a `*`: asked of every guard and every grant at each start.
    star: bool,
}

impl PathPattern {
    /// A base and nothing below it.
    pub(super) fn of(base: Base) -> PathPattern {
        PathPattern { base, rest: Cow::Borrowed(""), star: false }
    }

    /// Reads an absolute path, `~`, `~/…`, `${project}` or `${project}/…`. Doubled and trailing slashes and
    /// `.` components are dropped.
    pub fn new(text: &str) -> Result<PathPattern, PatternError> {
        let (base, rest) = based(text)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let mut untidy = false;
        for component in rest.split('/') {
            match component.as_bytes() {
                [] | [b'.'] => untidy = true,
                [b'.', b'.'] => return Err(PatternError::Parent),
                bytes => check_component(bytes)?,
            }
        }
        let rest = if untidy { tidy(rest) } else { rest.to_owned() };
        Ok(PathPattern { base, star: rest.contains('*'), rest: Cow::Owned(rest) })
    }

    /// A path of a built-in policy: tests have read it with [`PathPattern::new`], and found it tidy.
    pub(super) fn known(text: &'static str) -> Result<PathPattern, PatternError> {
        let (base, rest) = based(text)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        Ok(PathPattern { base, star: rest.contains('*'), rest: Cow::Borrowed(rest) })
    }

    /// What follows the base, without a slash in front; empty for the base itself.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Whether a component holds a `*`, so that the path stands for whatever exists.
    pub fn has_glob(&self) -> bool {
        self.star
    }

    /// The absolute path in a run, still with its `*`. `None` for a path under a home that does not exist.
    pub fn resolve(&self, roots: &Roots<'_>) -> Option<PathBuf> {
        let base = self.base_path(roots)?;
        // One allocation: there are hundreds of paths on the way to each run.
        let mut path = OsString::with_capacity(base.as_os_str().len() + 1 + self.rest.len());
        path.push(base);
        if !self.rest.is_empty() {
            if !base.as_os_str().as_bytes().ends_with(b"/") {
                path.push("/");
            }
            path.push(&*self.rest);
        }
        Some(path.into())
    }

    /// Whether `path`, absolute and without `..`, is what the pattern stands for or lies below it.
    pub fn contains(&self, path: &Path, roots: &Roots<'_>) -> bool {
        let Some(below) = self.base_path(roots).and_then(|base| path.strip_prefix(base).ok()) else {
            return false;
        };
        let mut have = below.components().map(|component| component.as_os_str());
        self.components()
            .all(|want| have.next().is_some_and(|have| glob_matches(want.as_bytes(), have.as_bytes())))
    }

    /// Whether everything that `other` stands for lies in what this one stands for, in every run. Never
    /// wrongly true; `/home` does not cover `~`, since a home may be anywhere.
    pub fn covers(&self, other: &PathPattern) -> bool {
        if self.is_everything() || self.base != other.base {
            return self.is_everything();
        }
        if !self.star {
            let (ours, theirs) = (self.rest.as_bytes(), other.rest.as_bytes());
            if ours.last().is_some_and(|last| theirs.get(ours.len() - 1) != Some(last)) {
                return false;
            }
            let below = other.rest.as_bytes().strip_prefix(self.rest.as_bytes());
            return below.is_some_and(|below| self.rest.is_empty() || matches!(below, [] | [b'/', ..]));
        }
        let mut theirs = other.components();
        self.components()
            .all(|ours| theirs.next().is_some_and(|theirs| glob_matches(ours.as_bytes(), theirs.as_bytes())))
    }

    /// Whether it is `/`.
    pub(super) fn is_everything(&self) -> bool {
        self.base == Base::Root && self.rest.is_empty()
    }

    fn components(&self) -> impl Iterator<Item = &str> {
        self.rest.split('/').filter(|component| !component.is_empty())
    }

    fn base_path<'a>(&self, roots: &Roots<'a>) -> Option<&'a Path> {
        match self.base {
            Base::Root => Some(Path::new(OsStr::from_bytes(b"/"))),
            Base::Home => roots.home,
            Base::Project => Some(roots.project),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.base, &*self.rest) {
            (Base::Root, rest) => write!(f, "/{rest}"),
            (Base::Home, "") => f.write_str("~"),
            (Base::Home, rest) => write!(f, "~/{rest}"),
            (Base::Project, "") => f.write_str("${project}"),
            (Base::Project, rest) => write!(f, "${{project}}/{rest}"),
        }
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The base of a path, and what follows it.
fn based(text: &str) -> Result<(Base, &str), PatternError> {
    Ok(match text.as_bytes() {
        [] => return Err(PatternError::Empty),
        [b'/', ..] => (Base::Root, text),
        [b'~'] => (Base::Home, ""),
        [b'~', b'/', ..] => (Base::Home, text.get(1..).unwrap_or_default()),
        [b'~', ..] => return Err(PatternError::OtherHome),
        [b'$', ..] => match text.strip_prefix("${project}") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => (Base::Project, rest),
            Some(_) => return Err(PatternError::Relative),
            None => return Err(PatternError::Variable),
        },
        _ => return Err(PatternError::Relative),
    })
}

fn check_glob(text: &str) -> Result<(), PatternError> {
    match text.bytes().find(|byte| matches!(byte, b'?' | b'[' | b']' | b'{' | b'}' | 0)) {
        _ if text.is_empty() => Err(PatternError::Empty),
        None => Ok(()),
        Some(0) => Err(PatternError::Nul),
        Some(byte) => Err(PatternError::Special(byte.into())),
    }
}

fn check_component(bytes: &[u8]) -> Result<(), PatternError> {
    match bytes.iter().find(|byte| matches!(byte, b'?' | b'[' | b']' | b'{' | b'}' | b'$' | 0)) {
        None => Ok(()),
        Some(0) => Err(PatternError::Nul),
        Some(b'$') => Err(PatternError::Variable),
        Some(byte) => Err(PatternError::Special((*byte).into())),
    }
}

/// Without empty and `.` components.
fn tidy(rest: &str) -> String {
    let components: Vec<&str> = rest.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
    components.join("/")
}

/// Linear in the product at worst: one point to come back to is enough, since a later `*` can absorb
/// whatever an earlier one could.
fn glob_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(byte) if name.get(n) == Some(byte) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

/// Multiplies out `{a,b}`. Braces do not nest.
fn expand(text: &str) -> Result<Vec<String>, PatternError> {
    let mut done = vec![String::new()];
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(open);
        let Some(inner) = from.strip_prefix('{') else { return Err(PatternError::Brace) };
        let Some((list, after)) = inner.split_once('}') else { return Err(PatternError::Brace) };
        if list.contains('{') {
            return Err(PatternError::Brace);
        }
        let choices: Vec<&str> = list.split(',').collect();
        if done.len().saturating_mul(choices.len()) > MAX_ALTERNATIVES {
            return Err(PatternError::Alternatives);
        }
        done = done
            .iter()
            .flat_map(|start| choices.iter().map(move |choice| format!("{start}{before}{choice}")))
            .collect();
        rest = after;
    }
    for one in &mut done {
        one.push_str(rest);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let glob = Glob::new(pattern).unwrap();
            for name in yes {
                assert!(glob.matches(name.as_bytes()), "{pattern} must match {name}");
            }
            for name in no {
                assert!(!glob.matches(name.as_bytes()), "{pattern} must not match {name}");
            }
        };
        check("PATH", &["PATH"], &["PATHS", "path", "", "APATH"]);
        check("LC_*", &["LC_ALL", "LC_"], &["LC", "XLC_ALL"]);
        check("XDG_*_HOME", &["XDG_DATA_HOME", "XDG__HOME"], &["XDG_HOME", "XDG_DATA_HOMES"]);
        check("*_PRELOAD", &["LD_PRELOAD", "_PRELOAD", "A_PRELOAD_PRELOAD"], &["PRELOAD"]);
        check("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a", "b"]);
        check("*", &["", "anything"], &[]);
        assert!(Glob::new("LC_*").unwrap().matches(b"LC_\xff"));
    }

    #[test]
    fn covering_globs() {
        let covers = |a: &str, b: &str| Glob::new(a).unwrap().covers(&Glob::new(b).unwrap());
        assert!(covers("LC_*", "LC_ALL"));
        assert!(covers("LC_*", "LC_*"));
        assert!(covers("*", "LC_*"));
        assert!(covers("A*", "A*B"));
        assert!(!covers("A*B", "A*"));
        assert!(!covers("LC_ALL", "LC_*"));
    }

    #[test]
    fn refused_globs() {
        assert_eq!(Glob::new(""), Err(PatternError::Empty));
        assert_eq!(Glob::new("A?"), Err(PatternError::Special('?')));
        assert_eq!(Glob::new("A[bc]"), Err(PatternError::Special('[')));
        assert_eq!(Glob::new("a\0"), Err(PatternError::Nul));
    }

    #[test]
    fn names_with_alternatives() {
        let name = NamePattern::new(".env.{development,test}{,.local}").unwrap();
        let all: Vec<&str> = name.alternatives().iter().map(Glob::as_str).collect();
        assert_eq!(all, [".env.development", ".env.development.local", ".env.test", ".env.test.local"]);
        assert!(name.is_exact());
        assert!(name.matches(b".env.test.local"));
        assert!(!name.matches(b".env.local"));
        assert!(!NamePattern::new("*.pem").unwrap().is_exact());
        assert_eq!(NamePattern::new("a{b"), Err(PatternError::Brace));
        assert_eq!(NamePattern::new("a}b"), Err(PatternError::Brace));
        assert_eq!(NamePattern::new("a{b{c}d}"), Err(PatternError::Brace));
        assert_eq!(NamePattern::new("a/b"), Err(PatternError::Slash));
        assert_eq!(NamePattern::new("{,}"), Err(PatternError::Empty));
        let many = "{a,b,c,d}".repeat(9);
        assert_eq!(NamePattern::new(&many), Err(PatternError::Alternatives));
    }

    #[test]
    fn paths() {
        let show = |text: &str| PathPattern::new(text).map(|path| path.to_string());
        assert_eq!(show("/usr//lib/./x/"), Ok("/usr/lib/x".to_owned()));
        assert_eq!(show("/"), Ok("/".to_owned()));
        assert_eq!(show("~"), Ok("~".to_owned()));
        assert_eq!(show("~/.ssh/"), Ok("~/.ssh".to_owned()));
        assert_eq!(show("${project}"), Ok("${project}".to_owned()));
        assert_eq!(show("${project}/.git"), Ok("${project}/.git".to_owned()));
        assert_eq!(show(""), Err(PatternError::Empty));
        assert_eq!(show("tmp"), Err(PatternError::Relative));
        assert_eq!(show("./tmp"), Err(PatternError::Relative));
        assert_eq!(show("${project}x"), Err(PatternError::Relative));
        assert_eq!(show("$HOME/x"), Err(PatternError::Variable));
        assert_eq!(show("/a/${project}"), Err(PatternError::Variable));
        assert_eq!(show("~root/x"), Err(PatternError::OtherHome));
        assert_eq!(show("/a/../b"), Err(PatternError::Parent));
        assert_eq!(show("/a/b?"), Err(PatternError::Special('?')));
    }

    #[test]
    fn containing_and_covering_paths() {
        let roots = Roots { project: Path::new("/src/app"), home: Some(Path::new("/home/jo")) };
        let contains =
            |pattern: &str, path: &str| PathPattern::new(pattern).unwrap().contains(Path::new(path), &roots);
        assert!(contains("/usr", "/usr"));
        assert!(contains("/usr", "/usr/lib/x"));
        assert!(!contains("/usr", "/usrlocal"));
        assert!(contains("/lib*", "/lib64/ld.so"));
        assert!(!contains("/lib*", "/opt/lib64"));
        assert!(contains("~/.ssh", "/home/jo/.ssh/id_rsa"));
        assert!(contains("${project}", "/src/app/.env"));
        assert!(!contains("${project}/.git", "/src/app"));
        let homeless = Roots { project: Path::new("/p"), home: None };
        assert!(!PathPattern::new("~").unwrap().contains(Path::new("/"), &homeless));
        assert_eq!(PathPattern::new("~/x").unwrap().resolve(&homeless), None);
        assert_eq!(PathPattern::new("~/x").unwrap().resolve(&roots), Some("/home/jo/x".into()));

        let covers = |a: &str, b: &str| PathPattern::new(a).unwrap().covers(&PathPattern::new(b).unwrap());
        assert!(covers("/", "~/.ssh"));
        assert!(covers("/lib*", "/lib64/x"));
        assert!(covers("~", "~/.ssh"));
        assert!(!covers("/home", "~/.ssh"));
        assert!(!covers("~/.ssh", "~"));
        assert!(!covers("/lib64", "/lib*"));
    }
}
