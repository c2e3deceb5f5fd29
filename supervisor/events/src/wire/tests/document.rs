//! `docs/events.md` against what the code writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

const DOCUMENT: &str = include_str!("../../../../../docs/events.md");

/// One row of a table of fields.
struct Row<'a> {
    kind: &'a str,
    meaning: &'a str,
    example: Option<Value>,
}

/// The rows by their full name: those of the tables `process` and `file` begin with these words.
fn rows() -> BTreeMap<String, Row<'static>> {
    let mut rows = BTreeMap::new();
    let mut prefix = "";
    for line in DOCUMENT.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            prefix = match heading {
                "process" => "process!",
                "file" => "file!",
                _ => "",
            };
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        let [name, kind, meaning, example] = cells.as_slice() else { continue };
        let Some(name) = name.strip_prefix("| `").and_then(|name| name.strip_suffix('`')) else {
            continue;
        };
        let example = example.trim_end_matches('|').trim().trim_matches('`');
        let example = (!example.is_empty()).then(|| serde_json::from_str(example).expect(example));
        let row = Row { kind, meaning, example };
        assert!(rows.insert(format!("{prefix}{name}"), row).is_none(), "{name} stands there twice");
    }
    rows
}

/// Walks `value`, and names each leaf as the document does.
fn leaves(
    name: &str,
    value: &mut Value,
    rows: &BTreeMap<String, Row<'_>>,
    each: &mut dyn FnMut(&str, &mut Value),
) {
    let row = rows.get(name);
    let structure = row.map(|row| row.kind).filter(|kind| matches!(*kind, "process" | "file"));
    if structure.is_some() {
        each(name, &mut Value::Null);
    }
    match value {
        Value::Object(fields) if row.is_none() || structure.is_some() => {
            for (key, value) in fields {
                let inner = match (structure, name) {
                    (Some(kind), _) => format!("{kind}!{key}"),
                    (None, "labels" | "lost.counts") => format!("{name}.*"),
                    (None, "") => key.clone(),
                    (None, _) => format!("{name}.{key}"),
                };
                leaves(&inner, value, rows, each);
            }
        }
        Value::Array(all) => {
            all.iter_mut().for_each(|value| leaves(&format!("{name}[]"), value, rows, each));
        }
        leaf => each(name, leaf),
    }
}

fn lines() -> Vec<Value> {
    full_events().iter().map(|event| serde_json::from_slice(&encode(event)).unwrap()).collect()
}

#[test]
fn names_every_field_and_no_other() {
    let rows = rows();
    let mut written = BTreeSet::new();
    for mut line in lines() {
        leaves("", &mut line, &rows, &mut |name, _| {
            written.insert(name.to_owned());
        });
    }
    let documented: BTreeSet<String> = rows.keys().cloned().collect();
    assert_eq!(written, documented);
}

#[test]
fn gives_types_that_hold_and_examples_that_are_read() {
    let rows = rows();
    for (name, row) in &rows {
        let type_holds = |value: &Value| match row.kind {
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "bytes" => value.is_string() || value.get("bytes").is_some(),
            "process" | "file" => value.is_null(),
            other => panic!("{name}: unknown type {other}"),
        };
        let mut read = false;
        for mut line in lines() {
            leaves("", &mut line, &rows, &mut |at, value| {
                if at == name {
                    assert!(type_holds(value), "{name}: {value}");
                    *value = row.example.clone().unwrap_or_default();
                    assert!(type_holds(value), "{name}: {value}");
                }
            });
            read |= decode(line.to_string().as_bytes()).is_ok();
        }
        assert!(read, "{name}: no event is read with its example");
    }
}

#[test]
fn lists_every_word() {
    let rows = rows();
    let check = |name: &str, words: Vec<&str>| {
        for word in words {
            assert!(rows[name].meaning.contains(&format!("`{word}`")), "{name}: {word}");
        }
    };
    check("access.operation", Operation::ALL.iter().map(|word| word.as_str()).collect());
    check("redacted.stream", Stream::ALL.iter().map(|word| word.as_str()).collect());
    check("tier", Tier::ALL.iter().map(|word| word.as_str()).collect());
    check("mode", Mode::ALL.iter().map(|word| word.as_str()).collect());
    check("verdict", crate::event::Verdict::ALL.iter().map(|word| word.as_str()).collect());
    for event in full_events() {
        let kind = event.kind.name();
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| `{kind}` | ")));
        let value: Value = serde_json::from_slice(&encode(&event)).unwrap();
        let section = row.and_then(|row| row.split('`').nth(3)).unwrap();
        assert!(value.get(section).is_some(), "{kind}: {section}");
    }
}

/// What is always there is marked so, and what is not is not.
#[test]
fn says_what_is_always_there() {
    let rows = rows();
    for (name, row) in rows.iter().filter(|(name, _)| !name.contains(['[', '*', '!'])) {
        let mut path = name.split('.');
        let section = path.next().unwrap();
        let in_section = ["started", "access", "redacted", "lost", "ended", "host"].contains(&section);
        let mut minimal = full_events();
        minimal.iter_mut().for_each(strip);
        let present = minimal
            .iter()
            .map(|event| serde_json::from_slice::<Value>(&encode(event)).unwrap())
            .filter(|line| !in_section || line.get(section).is_some())
            .all(|line| line.pointer(&format!("/{}", name.replace('.', "/"))).is_some());
        let marked = row.meaning.contains("always") && !row.meaning.contains("always and only in");
        assert_eq!(marked, present, "{name}: {}", row.meaning);
    }
}

/// Takes away everything that an event can be without.
fn strip(event: &mut Event) {
    let context = &event.envelope.context;
    let context = Context::new(context.run.clone(), context.session.clone());
    let (id, time) = (event.envelope.id, event.envelope.time);
    event.envelope = Envelope { id, time, ..crate::recorder::stamp(Arc::new(context), 1) };
    match &mut event.kind {
        Kind::RunStarted(started) => {
            started.user.name = None;
            started.policy_sha256 = None;
            started.environment = None;
            started.kernel = None;
        }
        Kind::Redacted(redacted) => {
            redacted.fingerprint = None;
            redacted.encoding = None;
        }
        Kind::RunEnded(ended) => ended.killed.clear(),
        Kind::Host(host) => **host = HostEvent::new(host.what, host.detail.clone()),
        Kind::Access(_) | Kind::Lost(_) => {}
    }
}
