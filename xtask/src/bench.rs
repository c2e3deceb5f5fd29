//! `cargo xtask bench`: the figures of the real binary, with those of the last time beside them.

use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::shell::{self, Error, Result};
use crate::{build, setup, vm};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure only what contains this; `vm`: what kernel programs cost, in instructions of a guest; `redact`: the redactor beside others
    filter: Option<String>,
}

/// The measuring itself is a program of the harness crate, which knows how to plant a host; it prints one JSON
/// object a line: `name`, `value`, `unit`, `limit`.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let binary = build::build(false)?;
    if args.filter.as_deref() == Some("redact") {
        let mut command = shell::cargo(&["bench", "--package", "keyblind-redact", "--bench", "rivals"]);
        shell::run(command.env("KEYBLIND_BIN", binary))?;
        return Ok(ExitCode::SUCCESS);
    }
    let guest = args.filter.as_deref() == Some("vm");
    let rows = if guest {
        setup::check(setup::For::Vm)?;
        vm::bench(&binary)?
    } else {
        on_host(args, &binary)?
    };
    let (missing, rows): (Vec<Value>, Vec<Value>) =
        parse("bench", &rows)?.into_iter().partition(|row| row["missing"].is_string());
    let kept = shell::target_dir()?.join(if guest { "bench-vm.json" } else { "bench.json" });
    let last = if kept.exists() { parse("bench.json", &shell::read(&kept)?)? } else { Vec::new() };
    shell::say(table(&rows, &last));
    for row in &missing {
        let text = |key: &str| row[key].as_str().unwrap_or("?");
        shell::say(format_args!("not measured: {}: {}", text("name"), text("missing")));
    }
    keep(&kept, &rows, &last)?;
    let missed = rows.iter().filter(|row| !within(row)).count();
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn on_host(args: &Args, binary: &Path) -> Result<String> {
    let bins = ["build", "--quiet", "--release", "--package", "keyblind-tests", "--bins"];
    shell::run(&mut shell::cargo(&bins))?;
    let mut command = Command::new(shell::target_dir()?.join("release/bench"));
    command.args(&args.filter).env("KEYBLIND_BIN", binary);
    shell::stdout(command.stderr(std::process::Stdio::inherit()))
}

fn parse(what: &str, text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().filter(|line| !line.is_empty());
    let parsed: std::result::Result<_, _> = lines.map(serde_json::from_str).collect();
    parsed.map_err(|source| Error::Json { path: what.to_owned(), source })
}

/// Writes this time's rows and those of last time that were not measured again.
fn keep(path: &Path, rows: &[Value], last: &[Value]) -> Result<()> {
    let again = |row: &&Value| !rows.iter().any(|new| new["name"] == row["name"]);
    let text: String = rows.iter().chain(last.iter().filter(again)).map(|row| format!("{row}\n")).collect();
    std::fs::write(path, text).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

/// `limit` is the largest value allowed, or the smallest if it is written `{"at_least": …}`.
fn within(row: &Value) -> bool {
    let value = row["value"].as_f64();
    match (value, row["limit"].as_f64(), row["limit"]["at_least"].as_f64()) {
        (Some(value), Some(most), _) => value <= most,
        (Some(value), _, Some(least)) => value >= least,
        (value, None, None) => value.is_some(),
        _ => false,
    }
}

fn table(rows: &[Value], last: &[Value]) -> String {
    let number =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"));
    let mut text = format!("{:<58} {:>11} {:>11} {:>12}\n", "what", "now", "last time", "limit");
    for row in rows {
        let before =
            last.iter().find(|old| old["name"] == row["name"]).map_or(&Value::Null, |old| &old["value"]);
        let limit = match row["limit"]["at_least"].as_f64() {
            Some(least) => format!(">= {least}"),
            None => row["limit"].as_f64().map_or_else(|| "-".to_owned(), |most| format!("<= {most}")),
        };
        let name =
            format!("{} [{}]", row["name"].as_str().unwrap_or("?"), row["unit"].as_str().unwrap_or("?"));
        let missed = if within(row) { "" } else { "  missed" };
        text +=
            &format!("{name:<58} {:>11} {:>11} {limit:>12}{missed}\n", number(&row["value"]), number(before));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_limit_is_said() -> Result<()> {
        let rows = parse(
            "test",
            "{\"name\":\"start\",\"value\":5.0,\"unit\":\"ms\",\"limit\":4.0}\n\
             {\"name\":\"text\",\"value\":900,\"unit\":\"MB/s\",\"limit\":{\"at_least\":500}}\n",
        )?;
        assert!(!within(&rows[0]) && within(&rows[1]));
        let shown = table(&rows, &rows[..1]);
        assert!(shown.contains("missed") && shown.lines().count() == 3, "{shown}");
        Ok(())
    }
}
