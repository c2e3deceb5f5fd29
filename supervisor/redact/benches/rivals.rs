//! The redactor beside others, on one log in one run: `cargo xtask bench redact`.
//!
//! In memory, in processor time: a copy, aho-corasick and the regex crate. As processes that read a file and are read by
//! `cat`: `cat`, `sed`, `rg` where it is installed, and the binary that `KEYBLIND_BIN` names.

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};

use keyblind_redact::{Matcher, Shapes};

mod made;
use made::{BYTES, WORDS, cpu, gbs, log, secrets, time};

const SHAPES: &str = "ghp_[0-9A-Za-z]{36}|sk-[0-9A-Za-z]{32,}|AKIA[A-Z2-7]{16}|xoxb-[0-9A-Za-z-]{10,}|\\
glpat-[0-9A-Za-z_-]{20}|AIza[0-9A-Za-z_-]{35}|eyJ[0-9A-Za-z_-]{10,}\\.[0-9A-Za-z_.-]{24,}|npm_[0-9A-Za-z]{36}|\\
hf_[A-Za-z]{34}|dop_v1_[0-9a-f]{64}";

fn say(name: &str, seconds: (f64, f64)) {
    drop(writeln!(
        std::io::stdout(),
        "{name:<64} {:6.2} GB/s best, {:6.2} median",
        gbs(seconds.0),
        gbs(seconds.1)
    ));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let all = secrets(100);
    let log = log(&all[..50], WORDS);
    let mut out = Vec::with_capacity(BYTES + BYTES / 8);
    let copied = cpu(|| {
        out.clear();
        out.extend_from_slice(&log);
        black_box(&out);
    });
    say("copy", copied);
    for (name, shapes) in [
        ("keyblind, 100 secrets in all encodings", Shapes::None),
        ("keyblind, the same and all rules", Shapes::Default),
    ] {
        let builder =
            all.iter().fold(Matcher::builder().shapes(shapes), |b, (n, v)| b.needle(n, v.as_bytes()));
        let matcher = builder.build();
        let redacted = cpu(|| {
            let mut redactor = matcher.redactor();
            for part in log.chunks(64 * 1024) {
                out.clear();
                redactor.push(part, &mut out);
                black_box(&out);
            }
            redactor.finish(&mut out);
        });
        say(name, redacted);
    }
    let plain = aho_corasick::AhoCorasick::new(all.iter().map(|(_, value)| value))?;
    let marks = vec!["[REDACTED]"; all.len()];
    say(
        "aho-corasick replace, 100 secrets as they are",
        cpu(|| drop(black_box(plain.replace_all_bytes(&log, &marks)))),
    );
    let regex = regex::bytes::Regex::new(SHAPES)?;
    say("regex replace, ten shapes", cpu(|| drop(black_box(regex.replace_all(&log, &b"[REDACTED]"[..])))));

    let file = std::env::temp_dir().join(format!("keyblind-bench-{}", std::process::id()));
    std::fs::write(&file, &log)?;
    let substitute = format!("s/{}/[REDACTED]/g", SHAPES.replace('/', "\\/"));
    let mut filters: Vec<(&str, Vec<String>)> = vec![
        ("cat | cat | cat", vec!["cat".into()]),
        ("cat | sed -E, ten shapes | cat", vec!["sed".into(), "-E".into(), substitute]),
        (
            "cat | rg --replace, ten shapes | cat",
            ["rg", "--passthru", "--replace", "[REDACTED]", SHAPES].map(String::from).to_vec(),
        ),
    ];
    if let Ok(binary) = std::env::var("KEYBLIND_BIN") {
        filters.push(("cat | keyblind redact | cat", vec![binary.clone(), "redact".into()]));
        let none = ["redact", "--rules", "none", "--redact-env", "KEYBLIND_BENCH_SECRET"].map(String::from);
        filters.push((
            "cat | keyblind redact --rules none --redact-env NAME | cat",
            [vec![binary], none.to_vec()].concat(),
        ));
    }
    for (name, filter) in filters {
        let mut failed = None;
        let seconds = time(|| failed = pipeline(&file, &filter).err().or(failed.take()));
        match failed {
            None => say(name, seconds),
            Some(error) => drop(writeln!(std::io::stdout(), "{name:<64} not measured: {error}")),
        }
    }
    std::fs::remove_file(file)?;
    Ok(())
}

/// `cat file | filter | cat > /dev/null`.
fn pipeline(file: &std::path::Path, filter: &[String]) -> std::io::Result<()> {
    let mut first = Command::new("cat").arg(file).stdout(Stdio::piped()).spawn()?;
    let input = first.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let second = Command::new(&filter[0])
        .args(&filter[1..])
        .env("LC_ALL", "C")
        .env("KEYBLIND_BENCH_SECRET", "zx81-c64-amiga-500")
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn();
    let mut second = match second {
        Ok(second) => second,
        Err(error) => {
            first.wait()?;
            return Err(error);
        }
    };
    let output = second.stdout.take().map_or_else(Stdio::null, Stdio::from);
    Command::new("cat").stdin(output).stdout(Stdio::null()).status()?;
    second.wait()?;
    first.wait()?;
    Ok(())
}
