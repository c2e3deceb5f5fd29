#![forbid(unsafe_code)]
//! One ordinary job: what it prints, how it ends and what it leaves must be the same supervised as bare.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::check::can_run;
use crate::outcome::Outcome;
use crate::require::Feature;
use crate::site::Site;
use crate::start::{Run, Tier};

type Prepare = Box<dyn Fn(&Site) -> Box<dyn Any>>;

/// An ordinary job, as a line of bash. What differs between two bare runs, a duration or a process id, the script masks
/// itself, so that bare and supervised runs are compared byte for byte.
pub struct Job {
    script: String,
    stdin: Vec<u8>,
    code: i32,
    needs: Vec<Feature>,
    prepare: Prepare,
    breaks: Option<(Tier, &'static str)>,
    /// Directories, relative to the project, whose files need not be the same: caches that hold times.
    loose: Vec<&'static str>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("script", &self.script).finish_non_exhaustive()
    }
}

impl Job {
    /// A script that starts in the project.
    #[must_use]
    pub fn new(script: impl Into<String>) -> Self {
        let nothing: Prepare = Box::new(|_| Box::new(()));
        Self {
            script: script.into(),
            stdin: Vec::new(),
            code: 0,
            needs: Vec::new(),
            prepare: nothing,
            breaks: None,
            loose: Vec::new(),
        }
    }

    /// It is skipped where the machine lacks this.
    #[must_use]
    pub fn needs(mut self, feature: Feature) -> Self {
        self.needs.push(feature);
        self
    }

    /// Ends with this status instead of 0.
    #[must_use]
    pub fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// It does not work in `tier`, for a reason that `docs/limits.md` gives. A test that finds it working fails: the
    /// page would be wrong.
    #[must_use]
    pub fn breaks_in(mut self, tier: Tier, reason: &'static str) -> Self {
        self.breaks = Some((tier, reason));
        self
    }

    /// What stands on its stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Prepares the project, before each run. What is returned lives as long as the run.
    #[must_use]
    pub fn on<T: 'static>(mut self, prepare: impl Fn(&Site) -> T + 'static) -> Self {
        self.prepare = Box::new(move |site| Box::new(prepare(site)));
        self
    }

    /// Files below this directory of the project may differ.
    #[must_use]
    pub fn loose(mut self, dir: &'static str) -> Self {
        self.loose.push(dir);
        self
    }

    /// Runs it bare and in `tier`, at the same path, and compares output, status and files.
    ///
    /// # Panics
    /// If they differ, or if the job fails bare: then the test itself is wrong.
    pub fn check(&self, tier: Tier) {
        if !can_run(&self.needs, tier) {
            return;
        }
        let site = Site::new();
        let (bare, left_bare) = self.play(&site, Tier::Bare);
        assert_eq!(bare.code(), self.code, "the job fails bare\n{bare}");
        site.clear();
        let (outcome, left) = self.play(&site, tier);
        if let Some((_, reason)) = self.breaks.filter(|(broken, _)| *broken == tier) {
            assert!(bare.stdout != outcome.stdout, "it works, although {reason}\n{outcome}");
            outcome.assert_supervised().assert_clean(&site);
            return;
        }
        let all = || format!("{bare}\n==== against ====\n{outcome}");
        assert_eq!(outcome.code(), self.code, "the status differs\n{}", all());
        assert!(bare.stdout == outcome.stdout, "stdout differs\n{}", all());
        assert!(bare.stderr == outcome.stderr, "stderr differs\n{}", all());
        for path in left_bare.keys().chain(left.keys()) {
            assert!(left_bare.get(path) == left.get(path), "{} differs\n{}", path.display(), all());
        }
        if tier != Tier::Bare {
            outcome.assert_supervised();
        }
        outcome.assert_clean(&site);
    }

    fn play(&self, site: &Site, tier: Tier) -> (Outcome, BTreeMap<PathBuf, Vec<u8>>) {
        let alive = (self.prepare)(site);
        let outcome = site.run(Run::bash(tier, &self.script).stdin(self.stdin.clone()));
        drop(alive);
        let mut left = BTreeMap::new();
        let project = site.project();
        self.list(&project, &project, &mut left);
        (outcome, left)
    }

    /// What stands below `dir`: type and permissions, and the bytes or the target.
    fn list(&self, project: &Path, dir: &Path, left: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).expect("a directory of the project").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(project).expect("a path below the project").to_owned();
            if name == Path::new("bin") || self.loose.iter().any(|loose| name == Path::new(loose)) {
                continue;
            }
            let meta = entry.metadata().expect("a file of the project");
            let mut seen = format!("{:o} ", meta.permissions().mode()).into_bytes();
            if meta.is_dir() {
                self.list(project, &path, left);
            } else if meta.is_symlink() {
                seen.extend(fs::read_link(&path).expect("a link").as_os_str().as_encoded_bytes());
            } else if meta.is_file() {
                seen.extend(fs::read(&path).expect("a file of the project"));
            }
            left.insert(name, seen);
        }
    }
}
