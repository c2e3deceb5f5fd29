//! What the rules find in a labelled corpus, per source: `KEYBLIND_CORPUS=FILE cargo run --release
//! --example recall [misses|touched|negatives|harm|rules]`.
//!
//! The corpus has one JSON object a line: `input`, `secret` (a part of it, or null), `tp` (must be
//! hidden), `class`, `strict` (nothing may be touched), `rule`, `source`. A secret counts as hidden when
//! no eight bytes of it in a row are left.
//!
//! The sources that `KEYBLIND_HELD_OUT` names, and of the others the rules of one name in four, are held
//! out: they are counted apart and never printed, so that figures of formats that nobody looked at stay
//! honest.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use keyblind_redact::{Hit, Mark, Matcher};

#[derive(serde::Deserialize)]
struct Line {
    input: String,
    secret: Option<String>,
    tp: bool,
    class: String,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    rule: Option<String>,
    source: String,
}

#[derive(Default, Clone, Copy)]
struct Count {
    all: usize,
    hidden: usize,
    /// Bytes outside the secrets, and those of them that were touched.
    outside: usize,
    harmed: usize,
}

impl Count {
    fn percent(part: usize, all: usize) -> f64 {
        if all == 0 { 100.0 } else { part as f64 * 100.0 / all as f64 }
    }
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

fn held_out(line: &Line, sources: &str) -> bool {
    sources.split(',').any(|source| source == line.source)
        || fnv(line.rule.as_deref().unwrap_or_default()).is_multiple_of(4)
}

fn main() -> ExitCode {
    let show = std::env::args().nth(1).unwrap_or_default();
    match run(&show, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "recall: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(show: &str, out: &mut impl Write) -> io::Result<()> {
    let file = std::env::var("KEYBLIND_CORPUS")
        .map_err(|e| io::Error::other(format!("KEYBLIND_CORPUS is to name the corpus: {e}")))?;
    let sources = std::env::var("KEYBLIND_HELD_OUT").unwrap_or_default();
    let matcher = Matcher::builder().mark(Mark::Plain).build();
    let mut counts: BTreeMap<(bool, String, String), Count> = BTreeMap::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let line: Line = serde_json::from_str(line).map_err(io::Error::other)?;
        let (output, hits) = redact(&matcher, line.input.as_bytes());
        let class = match (line.tp, line.strict) {
            (true, _) => line.class.clone(),
            (false, Some(true)) => "strict".to_owned(),
            (false, _) => "negative".to_owned(),
        };
        let held = held_out(&line, &sources);
        let secret = line.secret.as_deref().unwrap_or_default().as_bytes();
        let hidden = line.tp && is_hidden(secret, &output);
        let (outside, harmed) = harm(line.input.as_bytes(), secret, &hits);
        for (source, class) in [(line.source.as_str(), class.as_str()), ("all", class.as_str())] {
            let count = counts.entry((held, source.to_owned(), class.to_owned())).or_default();
            count.all += 1;
            count.hidden += usize::from(if line.tp { hidden } else { !hits.is_empty() });
            count.outside += outside;
            count.harmed += harmed;
        }
        let shown = match show {
            "misses" => line.tp && !hidden,
            "touched" => class == "strict" && !hits.is_empty(),
            "negatives" => class == "negative" && !hits.is_empty(),
            "harm" => line.tp && harmed > 0,
            _ => false,
        };
        if show == "rules" && class == "strict" && !hits.is_empty() {
            let names: Vec<&str> = hits.iter().map(|hit| &*hit.name).collect();
            writeln!(out, "{} strict: {}", line.source, names.join(" "))?;
        }
        if shown && !held {
            writeln!(
                out,
                "{} {} {class} harmed {harmed}\n   {:?}\n   {:?}",
                line.source,
                line.rule.as_deref().unwrap_or("-"),
                line.input,
                String::from_utf8_lossy(&output)
            )?;
        }
    }
    for ((held, source, class), count) in &counts {
        writeln!(
            out,
            "{:9} {source:20} {class:9} {:4} lines, {:6.2} % {}, outside {:7} bytes, {:6.3} % touched",
            if *held { "held out" } else { "tuned" },
            count.all,
            Count::percent(count.hidden, count.all),
            if matches!(class.as_str(), "strict" | "negative") { "touched" } else { "hidden " },
            count.outside,
            Count::percent(count.harmed, count.outside),
        )?;
    }
    for held in [false, true] {
        let total = |classes: &[&str]| {
            let of = |c: &&str| counts.get(&(held, "all".to_owned(), (*c).to_owned())).copied();
            classes.iter().filter_map(of).fold(Count::default(), |sum, c| Count {
                all: sum.all + c.all,
                hidden: sum.hidden + c.hidden,
                outside: sum.outside + c.outside,
                harmed: sum.harmed + c.harmed,
            })
        };
        let (all, shape, strict) =
            (total(&["shape", "context", "pem"]), total(&["shape"]), total(&["strict"]));
        writeln!(
            out,
            "{:9} shape {:.2} %, all {:.2} % of {}, outside touched {:.3} %, strict negatives touched {:.2} % of {}",
            if held { "held out" } else { "tuned" },
            Count::percent(shape.hidden, shape.all),
            Count::percent(all.hidden, all.all),
            all.all,
            Count::percent(all.harmed, all.outside),
            Count::percent(strict.hidden, strict.all),
            strict.all
        )?;
    }
    Ok(())
}

fn redact(matcher: &Matcher, input: &[u8]) -> (Vec<u8>, Vec<Hit>) {
    let (mut redactor, mut out) = (matcher.redactor(), Vec::new());
    let mut hits: Vec<Hit> = redactor.push(input, &mut out).into_iter().collect();
    hits.extend(redactor.finish(&mut out));
    (out, hits)
}

fn is_hidden(secret: &[u8], output: &[u8]) -> bool {
    let width = secret.len().min(8);
    !secret.windows(width.max(1)).any(|part| output.windows(part.len()).any(|w| w == part))
}

/// How many bytes are outside every occurrence of `secret`, and how many of them `hits` cover.
fn harm(input: &[u8], secret: &[u8], hits: &[Hit]) -> (usize, usize) {
    let mut inside = vec![false; input.len()];
    if !secret.is_empty() {
        for at in 0..(input.len() + 1).saturating_sub(secret.len()) {
            if input[at..].starts_with(secret) {
                inside[at..at + secret.len()].fill(true);
            }
        }
    }
    let mut touched = vec![false; input.len()];
    for hit in hits {
        let from = usize::try_from(hit.offset).unwrap_or(input.len());
        let to = from + usize::try_from(hit.len).unwrap_or(0);
        touched[from..to.min(input.len())].fill(true);
    }
    let outside = inside.iter().filter(|i| !**i).count();
    (outside, inside.iter().zip(&touched).filter(|(i, t)| !**i && **t).count())
}
