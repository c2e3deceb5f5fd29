//! The README's transcript is a real one: its commands are run again and must say the same.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Complaint, File, Tree};
use crate::shell::{self, Error, Result};

const PAGE: &str = "README.md";
/// Any ordinary user: the transcript shows what a user sees who has no privileges.
const USER: u32 = 1000;
/// Between the outputs of two commands; no command prints it.
const SEPARATOR: char = '\u{1e}';

#[derive(Debug, PartialEq, Eq)]
struct Step<'a> {
    line: usize,
    command: &'a str,
    output: Vec<&'a str>,
}

pub(super) fn check(tree: &Tree) -> Result<Vec<Complaint>> {
    let Some(file) = tree.get(PAGE) else {
        return Ok(vec![Complaint {
            path: PAGE.to_owned(),
            line: 0,
            what: "the page is missing".to_owned(),
        }]);
    };
    let steps = steps(file);
    if steps.is_empty() {
        return Ok(vec![file.complain(0, "no ```console block to run again")]);
    }
    let binary = shell::target_dir()?.join("release/keyblind");
    if !binary.exists() {
        shell::say("tidy: the README's transcript is not compared, as the release binary is not built");
        return Ok(Vec::new());
    }
    let outputs = play(&binary, &steps)?;
    let mut complaints = Vec::new();
    for (step, output) in steps.iter().zip(outputs) {
        let expected: Vec<_> = step.output.iter().map(|line| mask(line)).collect();
        let got: Vec<_> = output.lines().map(mask).collect();
        if expected != got {
            let what = format!("`{}` now prints:\n{}", step.command, output.trim_end());
            complaints.push(file.complain(step.line, what));
        }
    }
    Ok(complaints)
}

/// The commands of the ```console blocks, each with what stands below it.
fn steps(file: &File) -> Vec<Step<'_>> {
    let mut found: Vec<Step<'_>> = Vec::new();
    let mut inside = false;
    for (number, line) in file.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push(Step { line: number, command, output: Vec::new() }),
                (None, Some(step)) => step.output.push(line),
                (None, None) => {}
            }
        }
    }
    found
}

/// Runs the commands in one shell, as an ordinary user with an empty home, and returns what each printed.
fn play(binary: &Path, steps: &[Step<'_>]) -> Result<Vec<String>> {
    let home = std::env::temp_dir().join(format!("keyblind-readme-{}", std::process::id()));
    let played = play_in(&home, binary, steps);
    // Left over only if it cannot be removed, and then the next run's name differs.
    drop(std::fs::remove_dir_all(&home));
    played
}

fn play_in(home: &Path, binary: &Path, steps: &[Step<'_>]) -> Result<Vec<String>> {
    let place = |source| Error::File { path: home.to_path_buf(), source };
    let project = home.join("project");
    std::fs::create_dir_all(home.join("bin")).map_err(place)?;
    std::fs::create_dir_all(&project).map_err(place)?;
    std::fs::copy(binary, home.join("bin/keyblind")).map_err(place)?;
    let commands: Vec<_> = steps.iter().map(|step| step.command).collect();
    let script = commands.join(&format!("\nprintf '{SEPARATOR}'\n"));
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "-c", &format!("exec 2>&1\n{script}\n")]);
    shell.current_dir(&project).env_clear().env("HOME", home).env("LANG", "C.UTF-8").env("TERM", "dumb");
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", home.join("bin").display()));
    shell.stdin(Stdio::null()).stderr(Stdio::inherit());
    if nix::unistd::geteuid().is_root() {
        for dir in [home, &project] {
            std::os::unix::fs::chown(dir, Some(USER), Some(USER)).map_err(place)?;
        }
        shell.uid(USER).gid(USER);
    }
    let output = shell.output().map_err(|source| shell::start_error(&shell, source))?;
    Ok(String::from_utf8_lossy(&output.stdout).split(SEPARATOR).map(str::to_owned).collect())
}

/// Replaces what differs between two runs: times, process ids, ids of runs and sessions, digests.
fn mask(line: &str) -> String {
    line.split(' ').map(mask_word).collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn mask_word(word: &str) -> String {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let id = ["r-", "s-", "c-"].iter().find(|prefix| word.starts_with(**prefix));
    if let Some(prefix) = id.filter(|_| word.len() > 3) {
        return format!("{prefix}ID");
    }
    // 2026-11-23T14:02:11.041Z
    if word.len() >= 20 && word.ends_with('Z') && word.contains('T') && digits >= 14 {
        return "TIME".to_owned();
    }
    // bash(4709), keyblind-readme-4709
    if let Some((name, rest)) = word.split_once('(')
        && let Some((pid, after)) = rest.split_once(')')
        && !pid.is_empty()
        && pid.chars().all(|c| c.is_ascii_digit())
    {
        return format!("{name}(PID){after}");
    }
    if let Some((before, after)) = word.split_once("keyblind-readme-") {
        return format!(
            "{before}keyblind-readme-PID{}",
            after.trim_start_matches(|c: char| c.is_ascii_digit())
        );
    }
    // A figure before a unit: `0.38 s` is two words, so the number itself is masked when it has a fraction.
    if digits > 0 && word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return "N".to_owned();
    }
    if word.len() >= 8 && digits > 0 && word.chars().all(|c| c.is_ascii_hexdigit()) {
        return "HEX".to_owned();
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_block_is_commands_and_their_output() {
        let page = "```sh\n$ not this\n```\n```console\n$ a b\none\ntwo\n$ c\n```\n";
        let tree = Tree::of(&[("README.md", page)]);
        let found = steps(&tree.files[0]);
        assert_eq!(
            found,
            [
                Step { line: 5, command: "a b", output: vec!["one", "two"] },
                Step { line: 8, command: "c", output: vec![] },
            ]
        );
    }

    #[test]
    fn what_differs_between_runs_is_masked_and_nothing_else() {
        let check = |line, expect: &str| assert_eq!(mask(line), expect);
        check("2026-11-23T14:02:11.041Z run.ended r-8Q2x exit 0 0.38 s", "TIME run.ended r-ID exit 0 N s");
        check("by cat(4711) in keyblind-readme-12/project", "by cat(PID) in keyblind-readme-PID/project");
        check("sha 9f2c00aa1b of 5 keys, exit 125", "sha HEX of 5 keys, exit 125");
        check("[REDACTED:OPENAI_API_KEY]", "[REDACTED:OPENAI_API_KEY]");
    }
}
