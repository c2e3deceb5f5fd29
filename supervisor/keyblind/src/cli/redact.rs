//! `keyblind redact`: standard input to standard output through the redactor, or a check of files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use keyblind_redact::{Hit, Hits, JsonRedactor, Mark, Matcher, OperatorRule, Redactor, Shapes};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::out;

/// Bytes per read: what is read, looked through and written stays in the cache of the core.
const BUFFER: usize = 128 * 1024;
/// The size asked for of the pipes on both sides: room for the next read while this one is looked through.
const PIPE: i32 = 256 * 1024;
/// Something was found by `--check`.
const FOUND: u8 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Redact the value of this variable, in all encodings
    #[arg(long, value_name = "NAME")]
    redact_env: Vec<String>,
    /// Redact the content of this file, whole and by its longer lines, in all encodings
    #[arg(long, value_name = "FILE")]
    redact_file: Vec<PathBuf>,
    /// What the input is: in jsonl each line is JSON and stays JSON; auto tells by how a line begins
    #[arg(long, value_name = "text|jsonl|auto", default_value = "text", value_parser = ["text", "jsonl", "auto"])]
    format: String,
    /// A file with rules of your own beside the built-in ones, or `none` for known values only
    #[arg(long, value_name = "FILE|none")]
    rules: Option<PathBuf>,
    /// What stands in place of a secret: [REDACTED:NAME] or [REDACTED]
    #[arg(long, value_name = "name|plain", default_value = "name", value_parser = ["name", "plain"])]
    mark: String,
    /// Print what was found, by name, to stderr at the end
    #[arg(long)]
    stats: bool,
    /// Read these files instead, print `file:line rule` for each find, and exit 1 if there is one
    #[arg(long, value_name = "FILE", num_args = 1..)]
    check: Vec<PathBuf>,
}

pub(crate) fn main(args: Args) -> ExitCode {
    let matcher = match matcher(&args) {
        Ok(matcher) => matcher,
        Err(message) => return out::fail(out::USAGE, message),
    };
    for skipped in matcher.skipped() {
        out::fail(0, skipped);
    }
    if args.check.is_empty() {
        let mut engine = match args.format.as_str() {
            "text" => Engine::Text(matcher.redactor()),
            format => Engine::Json(matcher.json_redactor(format == "jsonl")),
        };
        filter(&mut engine, args.stats)
    } else {
        check(&matcher, &args.check)
    }
}

fn matcher(args: &Args) -> Result<Matcher, String> {
    let mut builder = Matcher::builder();
    for name in &args.redact_env {
        let value = std::env::var_os(name).ok_or_else(|| {
            format!("--redact-env {name}: no such variable; set it or leave the option out")
        })?;
        builder = builder.needle(name, value.as_bytes());
    }
    for path in &args.redact_file {
        let mut value =
            std::fs::read(path).map_err(|e| format!("--redact-file {}: cannot read: {e}", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        builder = builder.needle(&name, &value);
        value.fill(0);
        std::hint::black_box(&mut value);
    }
    match args.rules.as_deref() {
        None => {}
        Some(none) if none == Path::new("none") => builder = builder.shapes(Shapes::None),
        Some(file) => {
            for (line, rule) in read_rules(file)? {
                builder = builder.rule(&rule).map_err(|e| format!("{}:{line}: {e}", file.display()))?;
            }
        }
    }
    Ok(builder.mark(if args.mark == "plain" { Mark::Plain } else { Mark::Name }).build())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<toml::Spanned<RuleEntry>>,
}

/// A rule as an operator writes it. `reason` is for its readers.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    id: String,
    #[serde(rename = "reason")]
    _reason: String,
    pattern: String,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    counter_examples: Vec<String>,
}

/// The rules of `file`, each with its line, counted from 1.
fn read_rules(file: &Path) -> Result<Vec<(usize, OperatorRule)>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("--rules {}: {e}", file.display()))?;
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let parsed: RuleFile = toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        format!("{}:{}: {}", file.display(), line(at), e.message().trim_end().replace('\n', "; "))
    })?;
    let rules = parsed.rule.into_iter().map(|entry| {
        let (at, RuleEntry { id, pattern, examples, counter_examples, .. }) =
            (line(entry.span().start), entry.into_inner());
        (at, OperatorRule { id, pattern, examples, counter_examples })
    });
    Ok(rules.collect())
}

/// Counts per name; the names are needles' and rules', never values.
#[derive(Default)]
struct Stats {
    bytes: u64,
    counts: BTreeMap<String, u64>,
}

impl Stats {
    fn add(&mut self, hits: Hits) {
        for hit in hits {
            *self.counts.entry(hit.name.to_string()).or_default() += 1;
        }
    }

    fn print(&self) {
        let total: u64 = self.counts.values().sum();
        out::fail(0, format_args!("{} bytes read, {total} redactions", self.bytes));
        for (name, count) in &self.counts {
            out::fail(0, format_args!("{count:8} {name}"));
        }
    }
}

/// What reads the stream.
enum Engine {
    Text(Redactor),
    Json(JsonRedactor),
}

impl Engine {
    fn push(&mut self, input: &[u8], output: &mut Vec<u8>) -> Hits {
        match self {
            Engine::Text(redactor) => redactor.push(input, output),
            Engine::Json(redactor) => redactor.push(input, output),
        }
    }

    fn finish(&mut self, output: &mut Vec<u8>) -> Hits {
        match self {
            Engine::Text(redactor) => redactor.finish(output),
            Engine::Json(redactor) => redactor.finish(output),
        }
    }
}

fn filter(engine: &mut Engine, stats: bool) -> ExitCode {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    // Larger pipes mean fewer switches between the processes; a file or a small limit is no error.
    for fd in [stdin.as_fd(), stdout.as_fd()] {
        fcntl(fd, FcntlArg::F_SETPIPE_SZ(PIPE)).ok();
    }
    let mut counts = Stats::default();
    match pump(engine, &stdin, &stdout, &mut counts) {
        Ok(()) | Err(Broken::Closed) => {
            if stats {
                counts.print();
            }
            ExitCode::SUCCESS
        }
        Err(Broken::Read(errno)) => {
            out::fail(out::USAGE, format_args!("cannot read standard input: {}", errno.desc()))
        }
        Err(Broken::Write(errno)) => {
            out::fail(out::USAGE, format_args!("cannot write standard output: {}", errno.desc()))
        }
    }
}

enum Broken {
    Read(Errno),
    Write(Errno),
    /// The reader has gone: it has seen enough.
    Closed,
}

/// Passes on what each read returned, so that a line is out as soon as it came.
fn pump(redactor: &mut Engine, stdin: impl AsFd, stdout: impl AsFd, stats: &mut Stats) -> Result<(), Broken> {
    let mut input = vec![0; BUFFER];
    let mut output = Vec::with_capacity(BUFFER);
    loop {
        let count = match nix::unistd::read(&stdin, &mut input) {
            Ok(count) => count,
            Err(Errno::EINTR) => continue,
            Err(errno) => {
                // What is held goes out before the complaint.
                stats.add(redactor.finish(&mut output));
                write_all(&stdout, &mut output)?;
                return Err(Broken::Read(errno));
            }
        };
        stats.bytes += count as u64;
        let hits = if count == 0 {
            redactor.finish(&mut output)
        } else {
            redactor.push(&input[..count], &mut output)
        };
        stats.add(hits);
        write_all(&stdout, &mut output)?;
        if count == 0 {
            return Ok(());
        }
    }
}

fn write_all(stdout: impl AsFd, output: &mut Vec<u8>) -> Result<(), Broken> {
    let mut rest = output.as_slice();
    while !rest.is_empty() {
        match nix::unistd::write(&stdout, rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE) => return Err(Broken::Closed),
            Err(errno) => return Err(Broken::Write(errno)),
        }
    }
    output.clear();
    Ok(())
}

fn check(matcher: &Matcher, files: &[PathBuf]) -> ExitCode {
    let mut status = 0;
    for path in files {
        match find(matcher, path) {
            Ok(finds) => {
                for (line, hit) in finds {
                    status = status.max(FOUND);
                    if let Err(error) = out::line(format_args!("{}:{line} {}", path.display(), hit.name)) {
                        return out::fail(out::USAGE, format_args!("cannot write standard output: {error}"));
                    }
                }
            }
            Err(error) => {
                out::fail(0, format_args!("{}: cannot read: {error}", path.display()));
                status = out::USAGE;
            }
        }
    }
    ExitCode::from(status)
}

/// The finds in `path`, each with its line, counted from 1.
fn find(matcher: &Matcher, path: &Path) -> io::Result<Vec<(usize, Hit)>> {
    let mut file = File::open(path)?;
    let mut redactor = matcher.redactor();
    let (mut input, mut output) = (vec![0; BUFFER], Vec::new());
    let (mut hits, mut newlines, mut offset): (Vec<Hit>, Vec<u64>, u64) = (Vec::new(), Vec::new(), 0);
    loop {
        let count = match file.read(&mut input) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = &input[..count];
        newlines.extend((offset..).zip(part).filter(|(_, b)| **b == b'\n').map(|(at, _)| at));
        offset += count as u64;
        hits.extend(if count == 0 { redactor.finish(&mut output) } else { redactor.push(part, &mut output) });
        output.clear();
        if count == 0 {
            break;
        }
    }
    hits.sort_by_key(|hit| hit.offset);
    Ok(hits.into_iter().map(|hit| (newlines.partition_point(|&at| at < hit.offset) + 1, hit)).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn args(rules: &Path) -> Args {
        Args {
            redact_env: Vec::new(),
            redact_file: Vec::new(),
            format: "text".to_owned(),
            rules: Some(rules.to_owned()),
            mark: "name".to_owned(),
            stats: false,
            check: Vec::new(),
        }
    }

    #[test]
    fn a_file_of_rules_is_used_and_its_mistakes_have_a_line() {
        let head = "[[rule]]\nid = \"acme\"\nreason = \"r\"\n";
        let good = file(&format!("{head}pattern = \"acme_<alnum 8..>\"\n"));
        let mut out = Vec::new();
        let mut redactor = matcher(&args(good.path())).unwrap().redactor();
        redactor.push(b"acme_0123456789 and -", &mut out);
        assert_eq!(out, b"[REDACTED:acme] and -");

        let check = |text: &str, line: usize, expect: &str| {
            let file = file(text);
            let message = matcher(&args(file.path())).unwrap_err();
            assert!(message.starts_with(&format!("{}:{line}: ", file.path().display())), "{message}");
            assert!(message.contains(expect), "{message}");
        };
        check(&format!("{head}pattern = \"ac<alnum 8>\"\n"), 1, "at least 3 bytes");
        check(&format!("\n\n{head}patern = \"acme_<alnum 8>\"\n"), 6, "unknown field `patern`");
        check(&format!("{head}pattern = 3\n"), 4, "invalid type");
        assert!(matcher(&args(Path::new("/nonexistent"))).unwrap_err().contains("/nonexistent"));
    }

    #[test]
    fn an_unset_variable_is_named() {
        let mut args = args(Path::new("none"));
        args.redact_env = vec!["KEYBLIND_TEST_NOT_SET".to_owned()];
        assert!(matcher(&args).unwrap_err().contains("KEYBLIND_TEST_NOT_SET"));
    }

    #[test]
    fn the_pump_passes_bytes_and_counts() {
        let matcher = Matcher::builder().needle("PLANTED", b"zx81-c64-amiga").build();
        let input = file("\u{0}\u{fffd} zx81-c64-amiga\nno end of line");
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut stats = Stats::default();
        let source = File::open(input.path()).unwrap();
        assert!(pump(&mut Engine::Text(matcher.redactor()), &source, output.as_file(), &mut stats).is_ok());
        let wanted = "\u{0}\u{fffd} [REDACTED:PLANTED]\nno end of line";
        assert_eq!(std::fs::read_to_string(output.path()).unwrap(), wanted);
        assert_eq!(stats.counts["PLANTED"], 1);
    }

    #[test]
    fn lines_of_json_stay_json_and_a_files_content_is_hidden() {
        let secret = file("  zx81-c64-amiga\n");
        let mut args = args(Path::new("none"));
        args.redact_file = vec![secret.path().to_owned()];
        args.mark = "plain".to_owned();
        let matcher = matcher(&args).unwrap();
        let input = file("{\"a\":\"zx81-c64-\\u0061miga\"}\n");
        let output = tempfile::NamedTempFile::new().unwrap();
        let source = File::open(input.path()).unwrap();
        let mut engine = Engine::Json(matcher.json_redactor(true));
        assert!(pump(&mut engine, &source, output.as_file(), &mut Stats::default()).is_ok());
        assert_eq!(std::fs::read_to_string(output.path()).unwrap(), "{\"a\":\"[REDACTED]\"}\n");
        args.redact_file = vec!["/nonexistent".into()];
        assert!(super::matcher(&args).unwrap_err().contains("/nonexistent"));
    }

    #[test]
    fn finds_have_their_line() {
        let input = file("one\ntwo password: hunter2\n\n\npassword: hunter3");
        let finds = find(&Matcher::builder().build(), input.path()).unwrap();
        assert_eq!(finds.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5]);
    }
}
