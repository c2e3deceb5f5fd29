//! Compiles `policies/redaction/*.toml` into constant tables, so that the rules cost nothing at start.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/shape/class.rs"]
mod class;
#[path = "src/shape/pattern.rs"]
mod pattern;
#[path = "build/windows.rs"]
mod windows;

use pattern::{Elem, Pattern};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    reason: String,
    source: String,
    shape: Kind,
    #[serde(default)]
    patterns: Vec<String>,
    #[serde(default)]
    keywords: Vec<String>,
    /// Of values: which of those beside a keyword are hidden.
    #[serde(default)]
    value: ValueKind,
    #[serde(default)]
    fold: bool,
    /// How sure it is that what has the shape is a secret. Default: high, medium for values.
    confidence: Option<Confidence>,
    #[serde(default)]
    left: Left,
    #[serde(default)]
    distinct: u8,
    #[serde(default)]
    digits: u8,
    /// Bits per character.
    #[serde(default)]
    entropy: f32,
    examples: Vec<String>,
    #[serde(default)]
    counter_examples: Vec<String>,
}

#[derive(serde::Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Token,
    Value,
    Pem,
    Userinfo,
}

/// `context::Kind` of the crate.
#[derive(serde::Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "kebab-case")]
enum ValueKind {
    #[default]
    Random,
    Word,
    Strong,
    Short,
    Url,
    Header,
}

#[derive(serde::Deserialize, Clone, Copy, Default, PartialEq, Debug)]
#[serde(rename_all = "kebab-case")]
enum Left {
    Any,
    #[default]
    Word,
}

#[derive(serde::Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "kebab-case")]
enum Confidence {
    Low,
    Medium,
    High,
}

/// What the scan looks for, and which shapes begin there.
struct Word {
    shapes: Vec<usize>,
    hidden: bool,
    /// A shape other than a value begins here too.
    unnamed: bool,
    /// Bytes at its beginning that go out as they come.
    shown: usize,
    /// Which bytes may stand before and behind it.
    before: Vec<bool>,
    behind: Vec<bool>,
}

#[derive(Default)]
struct Tables {
    rules: String,
    shapes: String,
    shape_count: usize,
    leads: Vec<String>,
    words: BTreeMap<(Vec<u8>, bool), Word>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../policies/redaction");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(&root)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let mut tables = Tables::default();
    let mut count = 0;
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let text = fs::read_to_string(file)?;
        let parsed: File = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        for rule in &parsed.rule {
            add(rule, count, &mut tables)
                .map_err(|e| format!("{}: rule {}: {e}", file.display(), rule.id))?;
            count += 1;
        }
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("rules.rs"), render(&tables)?)?;
    Ok(())
}

fn add(rule: &Rule, number: usize, tables: &mut Tables) -> Result<(), Box<dyn Error>> {
    if rule.reason.is_empty() || rule.source.is_empty() || rule.examples.is_empty() {
        return Err("reason, source and at least one example are needed".into());
    }
    let _ = &rule.counter_examples;
    let confidence = rule.confidence.unwrap_or(match rule.shape {
        Kind::Value => Confidence::Medium,
        Kind::Token | Kind::Pem | Kind::Userinfo => Confidence::High,
    });
    writeln!(
        tables.rules,
        "    Rule {{ id: {:?}, reason: {:?}, source: {:?}, confidence: Confidence::{confidence:?} }},",
        rule.id, rule.reason, rule.source
    )?;
    match rule.shape {
        Kind::Token => {
            for text in &rule.patterns {
                let pattern = Pattern::parse(text).map_err(|e| format!("pattern `{text}`: {e}"))?;
                token(rule, number, &pattern, tables)?;
            }
            if rule.patterns.is_empty() {
                return Err("a token needs patterns".into());
            }
        }
        Kind::Value => {
            for keyword in &rule.keywords {
                let shape =
                    shape(tables, number, &format!("Body::Value {{ kind: Kind::{:?} }}", rule.value))?;
                let entry = word(tables, keyword.as_bytes(), true);
                entry.shapes.push(shape);
                entry.before.fill(true);
                entry.behind.fill(true);
            }
            if rule.keywords.is_empty() {
                return Err("a value needs keywords".into());
            }
        }
        Kind::Pem => {
            let shape = shape(tables, number, "Body::Pem")?;
            let entry = word(tables, b"-----BEGIN ", false);
            entry.shapes.push(shape);
            entry.before.fill(true);
            entry.behind.fill(true);
            (entry.hidden, entry.unnamed, entry.shown) = (true, true, b"-----".len());
        }
        Kind::Userinfo => {
            let shape = shape(tables, number, "Body::UserInfo")?;
            let entry = word(tables, b"://", false);
            entry.shapes.push(shape);
            entry.unnamed = true;
            // A scheme's last letter or digit.
            (0..=255u8).filter(u8::is_ascii_alphanumeric).for_each(|b| entry.before[usize::from(b)] = true);
            entry.behind.fill(true);
        }
    }
    Ok(())
}

fn token(rule: &Rule, number: usize, pattern: &Pattern, tables: &mut Tables) -> Result<(), Box<dyn Error>> {
    if let [Elem::Run { class, min, max }, Elem::Lit(text), ..] = pattern.elems.as_slice() {
        let text = text.as_ref();
        tables.leads.push(format!("Lead {{ class: {class}, min: {min}, max: {max}, text: &{text:?} }}"));
    }
    let hidden = pattern.secret == 0 && !pattern.has_lead();
    if hidden && (rule.fold || rule.left == Left::Any) {
        // Each output that ends in a first letter of such a word would have to wait for the next byte.
        return Err("with `fold` or `left = \"any\"` the first text must stay: put a `|` behind it".into());
    }
    let gate = format!(
        "Gate {{ distinct: {}, digits: {}, entropy: {:?} }}",
        rule.distinct, rule.digits, rule.entropy
    );
    let body = format!(
        "Body::Token {{ elems: &{}, secret: {}, left: Left::{:?}, fold: {}, gate: {gate} }}",
        elems(pattern)?,
        pattern.secret,
        rule.left,
        rule.fold
    );
    let shape = shape(tables, number, &body)?;
    let entry = word(tables, pattern.head(), rule.fold);
    entry.shapes.push(shape);
    entry.hidden |= hidden;
    entry.unnamed = true;
    let next = pattern.elems.get(usize::from(pattern.has_lead()) + 1);
    for b in 0..=255u8 {
        // What `left_is_free` lets stand before a token.
        let free = !b.is_ascii_alphanumeric() || b.is_ascii_hexdigit() || b"nrtm".contains(&b);
        entry.before[usize::from(b)] |= free || pattern.has_lead() || rule.left == Left::Any;
        // At the end of what has come so far a zero byte stands in for what will follow.
        entry.behind[usize::from(b)] |= b == 0
            || match next {
                Some(Elem::Run { class, min, .. }) => *min == 0 || class::has(*class, b),
                Some(Elem::Lit(text)) => text.first() == Some(&b),
                None => true,
            };
    }
    Ok(())
}

fn elems(pattern: &Pattern) -> Result<String, Box<dyn Error>> {
    let mut out = String::from("[");
    for elem in &pattern.elems {
        match elem {
            Elem::Lit(text) => write!(out, "Elem::Lit(Cow::Borrowed(&{:?})), ", text.as_ref())?,
            Elem::Run { class, min, max } => {
                write!(out, "Elem::Run {{ class: {class}, min: {min}, max: {max} }}, ")?
            }
        }
    }
    out.push(']');
    Ok(out)
}

fn shape(tables: &mut Tables, rule: usize, body: &str) -> Result<usize, Box<dyn Error>> {
    writeln!(tables.shapes, "    Shape {{ rule: {rule}, body: {body} }},")?;
    tables.shape_count += 1;
    Ok(tables.shape_count - 1)
}

fn word<'a>(tables: &'a mut Tables, text: &[u8], fold: bool) -> &'a mut Word {
    let any = || vec![false; 256];
    tables.words.entry((text.to_vec(), fold)).or_insert_with(|| Word {
        shapes: Vec::new(),
        hidden: false,
        unnamed: false,
        shown: 0,
        before: any(),
        behind: any(),
    })
}

fn text<'a>(((bytes, fold), word): (&'a (Vec<u8>, bool), &'a Word)) -> windows::Text<'a> {
    windows::Text { bytes, fold: *fold, before: &word.before, behind: &word.behind }
}

fn render(tables: &Tables) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let rules = tables.rules.lines().count();
    writeln!(out, "pub(crate) static RULES: [Rule; {rules}] = [\n{}];", tables.rules)?;
    writeln!(out, "pub(crate) static SHAPES: [Shape; {}] = [\n{}];", tables.shape_count, tables.shapes)?;
    writeln!(out, "pub(crate) static WORDS: [Word; {}] = [", tables.words.len())?;
    let mut hidden = Vec::new();
    for (number, ((text, fold), word)) in tables.words.iter().enumerate() {
        writeln!(
            out,
            "    Word {{ text: &{text:?}, fold: {fold}, named: {}, shown: {}, shapes: &{:?}, {} }},",
            !word.unnamed,
            word.shown,
            word.shapes,
            windows::head(text, *fold)
        )?;
        if word.hidden {
            hidden.push(number);
        }
    }
    writeln!(out, "];")?;
    // BTreeMap order is text order, which the search for an unfinished word relies on.
    writeln!(out, "pub(crate) static HIDDEN: [u16; {}] = {hidden:?};", hidden.len())?;
    let first = |number: &usize| tables.words.keys().nth(*number).map_or(0, |(text, _)| text[0]);
    let firsts: Vec<u8> = hidden.iter().map(first).collect();
    let from: Vec<usize> = (0..=256).map(|b| firsts.partition_point(|&f| usize::from(f) < b)).collect();
    writeln!(out, "pub(crate) static HIDDEN_FROM: [u16; 257] = {from:?};")?;
    let longest = tables.words.iter().filter(|(_, w)| w.hidden).map(|((text, _), _)| text.len()).max();
    writeln!(out, "pub(crate) const LONGEST_HIDDEN: usize = {};", longest.unwrap_or(1))?;
    writeln!(
        out,
        "pub(crate) static LEADS: [Lead; {}] = [{}];",
        tables.leads.len(),
        tables.leads.join(", ")
    )?;
    let words: Vec<windows::Text<'_>> = tables.words.iter().map(text).collect();
    windows::render(&words, &mut out)?;
    Ok(out)
}
