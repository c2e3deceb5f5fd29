//! What cargo built: the programs that go into the guest.

use std::path::PathBuf;

use serde_json::Value;

use super::image::{self, Program};
use crate::shell::{self, Error, Result};

/// Builds the harness's programs and the test targets named, optimised as `cargo xtask test` does.
pub(super) fn tests(targets: &[&str]) -> Result<Vec<Program>> {
    let mut build = shell::cargo(&["test", "--release", "--no-run", "--package", "keyblind-tests"]);
    build.args(["--message-format", "json-render-diagnostics", "--bins"]);
    for target in targets {
        build.args(["--test", target]);
    }
    let built = parse(&shell::stdout(build.stderr(std::process::Stdio::inherit()))?)?;
    for target in targets {
        if !built.iter().any(|program| program.to == in_guest("test", target)) {
            return Err(Error::Said(format!("cargo built no test target {target} of keyblind-tests")));
        }
    }
    Ok(built)
}

/// Where the guest has a program: tests look for helpers one directory above their own, as cargo lays them out.
pub(super) fn in_guest(kind: &str, name: &str) -> String {
    match kind {
        "test" => format!("{}/deps/{name}", image::HOME),
        _ => format!("{}/{name}", image::HOME),
    }
}

/// The executables in cargo's messages, one JSON object a line. A program's own unit tests are not among them.
fn parse(messages: &str) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line)
            .map_err(|source| Error::Json { path: "cargo's messages".to_owned(), source })?;
        let (Some(from), Some(kind), Some(name)) = (
            message["executable"].as_str(),
            message["target"]["kind"][0].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        if kind == "test" || (kind == "bin" && message["profile"]["test"] == false) {
            programs.push(Program { from: PathBuf::from(from), to: in_guest(kind, name) });
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_told_from_the_rest() -> Result<()> {
        let line = |kind: &str, name: &str, test: bool, executable: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"target\":{{\"kind\":[\"{kind}\"],\"name\":\"{name}\"}},\
                 \"profile\":{{\"test\":{test}}},\"executable\":{executable}}}\n"
            )
        };
        let messages = [
            line("lib", "keyblind_tests", false, "null"),
            line("bin", "victim", false, "\"/t/release/victim\""),
            line("bin", "victim", true, "\"/t/release/deps/victim-1\""),
            line("test", "vm", true, "\"/t/release/deps/vm-2\""),
            "{\"reason\":\"build-finished\",\"success\":true}\n".to_owned(),
        ]
        .concat();
        let found: Vec<_> = parse(&messages)?.into_iter().map(|program| program.to).collect();
        assert_eq!(found, ["/opt/keyblind/victim", "/opt/keyblind/deps/vm"]);
        Ok(())
    }
}
