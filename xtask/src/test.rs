//! `cargo xtask test`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::shell::{self, Error, Result};
use crate::{build, setup, vm};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Which ring to run
    #[arg(long, value_enum, default_value_t)]
    ring: Ring,
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Ring {
    /// Beside the code, no binary needed
    Unit,
    /// The real binary: as root, as an ordinary user, and without namespaces
    E2e,
    /// What needs root on this host's kernel
    Privileged,
    /// On other kernels, in virtual machines
    Vm,
    /// All of these
    #[default]
    All,
}

/// Runs the rings and prints the closing line `N passed, N failed, N skipped`.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::check(setup::For::Build)?;
    let wants = |ring| args.ring == ring || args.ring == Ring::All;
    let filter = args.filter.as_deref();
    let mut tally = Tally::default();
    if wants(Ring::Unit) {
        unit(filter, &mut tally)?;
    }
    if wants(Ring::E2e) || wants(Ring::Privileged) || wants(Ring::Vm) {
        let binary = build::build(false)?;
        let skips = tempfile()?;
        if wants(Ring::E2e) {
            harness("e2e", &binary, &skips, filter, &mut tally)?;
        }
        if wants(Ring::Privileged) {
            harness("privileged", &binary, &skips, filter, &mut tally)?;
        }
        if wants(Ring::Vm) {
            guests(&binary, &skips, filter, &mut tally)?;
        }
        tally.skip(&shell::read(&skips)?);
        std::fs::remove_file(&skips).map_err(|source| Error::File { path: skips, source })?;
    }
    for skip in &tally.skips {
        shell::say(format_args!("skipped {skip}"));
    }
    shell::say(tally.closing_line());
    Ok(if tally.failed == 0 && !tally.broken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unit(filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let own = ["test", "--no-fail-fast", "--workspace", "--exclude", "keyblind-tests"];
    count(shell::cargo(&own).args(filter), tally)?;
    count(
        shell::cargo(&["test", "--no-fail-fast", "--package", "keyblind-tests", "--lib"]).args(filter),
        tally,
    )
}

/// Runs one target of the harness crate. Its helper programs are built with it, optimised as the product is:
/// the stream tests pour 100 MB through them.
fn harness(target: &str, binary: &Path, skips: &Path, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let mut command = shell::cargo(&["test", "--release", "--no-fail-fast", "--package", "keyblind-tests"]);
    command.args(["--test", target]).args(filter);
    command.env("KEYBLIND_BIN", binary).env("KEYBLIND_SKIPS", skips);
    count(&mut command, tally)
}

/// Runs the ring `vm`. A machine that cannot boot test kernels skips it as a whole, unless they are required.
fn guests(binary: &Path, skips: &Path, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let Some(reason) = vm::absent() else {
        let tried = vm::ring(filter, binary)?;
        for line in tried.output.lines() {
            tally.add(line);
        }
        tally.broken |= tried.broken;
        return list(skips, &tried.skips);
    };
    let required = std::env::var("KEYBLIND_REQUIRE").unwrap_or_default();
    if required.split(',').any(|one| one.trim() == "vm") {
        return Err(Error::Said(format!("the ring vm is required here, but: {reason}")));
    }
    tally.add("test result: ok. 1 passed");
    list(skips, &[format!("the ring vm: {reason}")])
}

/// Adds to the list of skips.
fn list(skips: &Path, lines: &[String]) -> Result<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::OpenOptions::new()
        .append(true)
        .open(skips)
        .and_then(|mut list| list.write_all(text.as_bytes()))
        .map_err(|source| Error::File { path: skips.to_path_buf(), source })
}

/// An empty file for the harness to name its skips in: libtest knows no skips, and captures what a passing
/// test prints.
fn tempfile() -> Result<std::path::PathBuf> {
    let path = shell::target_dir()?.join(format!("skips-{}", std::process::id()));
    std::fs::write(&path, "").map_err(|source| Error::File { path: path.clone(), source })?;
    Ok(path)
}

/// Passes the output on as it comes and adds up libtest's own result lines.
fn count(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| shell::start_error(command, source))?;
    let pipe_error = |source| Error::File { path: "test output".into(), source };
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(pipe_error)?;
            let line = String::from_utf8_lossy(&line);
            shell::say(&line);
            tally.add(&line);
        }
    }
    let status = child.wait().map_err(pipe_error)?;
    tally.broken |= !status.success();
    Ok(())
}

/// What the rings said. `broken` catches what has no result line: a crash, or code that does not compile.
#[derive(Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skips: Vec<String>,
    broken: bool,
}

impl Tally {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        for part in rest.split(['.', ';']) {
            let mut words = part.split_whitespace();
            match (words.next().and_then(|word| word.parse::<u64>().ok()), words.next()) {
                (Some(count), Some("passed")) => self.passed += count,
                (Some(count), Some("failed")) => self.failed += count,
                _ => {}
            }
        }
    }

    /// Takes the harness's list: one line `test: reason` for each test that libtest counted as passed
    /// although it could not run.
    fn skip(&mut self, list: &str) {
        let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        self.passed = self.passed.saturating_sub(lines.len() as u64);
        self.skips = lines;
    }

    fn closing_line(&self) -> String {
        let broken = if self.broken && self.failed == 0 {
            " (a test program did not build or did not end)"
        } else {
            ""
        };
        format!("{} passed, {} failed, {} skipped{broken}", self.passed, self.failed, self.skips.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_not_counted_as_passed() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
        );
        tally.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        tally.add("running 5 tests");
        tally.skip("a::b: needs root\nc: needs npm\nc: needs npm\n");
        assert_eq!(tally.closing_line(), "6 passed, 2 failed, 2 skipped");
    }

    #[test]
    fn a_crash_without_a_result_line_shows() {
        let tally = Tally { broken: true, ..Tally::default() };
        assert!(tally.closing_line().starts_with("0 passed, 0 failed, 0 skipped (a test program"));
    }
}
