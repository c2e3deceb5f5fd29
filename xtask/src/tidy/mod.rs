//! `cargo xtask tidy`: what a compiler does not check. A document that can drift is compared with the code here.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::shell::{self, Result};

mod licences;
mod pages;
mod policies;
mod rust;
mod text;
mod transcript;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {}

/// A tracked file.
#[derive(Debug)]
struct File {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

/// Every tracked text file of the checkout.
#[derive(Debug, Default)]
struct Tree {
    files: Vec<File>,
}

/// One thing that is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    path: String,
    /// 1-based; 0 when it is about the file as a whole.
    line: usize,
    what: String,
}

type Check = fn(&Tree) -> Result<Vec<Complaint>>;

const CHECKS: &[Check] = &[
    text::check,
    rust::sizes,
    rust::fences,
    rust::safety,
    rust::leftovers,
    pages::attacks,
    pages::done,
    pages::changelog,
    policies::reasons,
    licences::check,
    transcript::check,
];

pub(crate) fn main(_args: &Args) -> Result<ExitCode> {
    let tree = Tree::load(shell::root())?;
    let mut complaints = Vec::new();
    for check in CHECKS {
        complaints.extend(check(&tree)?);
    }
    for complaint in &complaints {
        shell::warn(format_args!("{}:{}: {}", complaint.path, complaint.line, complaint.what));
    }
    shell::say(format_args!("tidy: {} files, {} complaints", tree.files.len(), complaints.len()));
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Tree {
    /// Reads what git tracks, and what it would track if it were added: a new file is checked before its commit.
    fn load(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
        let names = shell::stdout(&mut git)?;
        let mut files = Vec::new();
        for path in names.split('\0').filter(|name| !name.is_empty()) {
            let full: PathBuf = root.join(path);
            // A file deleted but not yet committed is listed; a binary file is not ours to judge.
            if let Ok(text) = std::fs::read_to_string(&full) {
                files.push(File { path: path.to_owned(), text });
            }
        }
        Ok(Self { files })
    }

    fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether some Rust file defines a function of this name.
    fn has_fn(&self, name: &str) -> bool {
        let definition = format!("fn {name}(");
        self.rust().any(|file| file.text.contains(&definition))
    }
}

impl File {
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn complain(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { path: self.path.clone(), line, what: what.into() }
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of files that exist only in a test.
    fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}
