//! The JSON schema of a policy file, and the table of keys in `docs/policy.md` made from it.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::BuiltIn;
use super::document::Document;

/// Sections in the order of the file.
const ORDER: [&str; 19] = [
    "version",
    "extends",
    "mode",
    "locked",
    "tier",
    "run",
    "variables",
    "files",
    "guard",
    "procfs",
    "network",
    "sockets",
    "devices",
    "redact",
    "events",
    "host",
    "environment",
    "secret",
    "tool",
];

/// The JSON schema (2020-12) of a policy file.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Document<'static>>().to_value();
    without_null(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".into(), "keyblind policy".into());
        object.insert("required".into(), vec!["version"].into());
    }
    schema
}

/// TOML has no null: a key that may be left out is left out.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| !(key == "default" && value.is_null()));
            if let Some(Value::Array(kinds)) = object.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [one] = kinds.as_slice() {
                    let one = one.clone();
                    object.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(words)) = object.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    object.remove("anyOf");
                    object.extend(one);
                }
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// One key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// With its tables: `run.limits.core`, `guard[].id`, `tool.*.grants[].secret`.
    pub(super) key: String,
    /// What may stand there.
    kind: String,
    /// What it is for.
    meaning: String,
}

/// Every key, section by section.
pub(super) fn rows(schema: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    collect(schema, schema, "", &mut rows);
    let place = |row: &Row| {
        let section = row.key.split(['.', '[']).next().unwrap_or_default();
        ORDER.iter().position(|known| *known == section)
    };
    rows.sort_by_key(place);
    rows
}

fn collect(root: &Value, schema: &Value, prefix: &str, rows: &mut Vec<Row>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        let key = format!("{prefix}{name}");
        let (mut inner, mut path) = (resolved(root, property), key.clone());
        if let Some(items) = inner.get("items").map(|items| resolved(root, items))
            && items.get("properties").is_some()
        {
            (inner, path) = (items, format!("{path}[]"));
        } else if let Some(values) = inner.get("additionalProperties").filter(|values| values.is_object()) {
            let values = resolved(root, values);
            if values.get("properties").is_some() {
                (inner, path) = (values, format!("{path}.*"));
            }
        }
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        if inner.get("properties").is_some() {
            if prefix.is_empty() {
                rows.push(Row { key: path.clone(), kind: "table".to_owned(), meaning });
            }
            collect(root, inner, &format!("{path}."), rows);
        } else {
            rows.push(Row { key, kind: kind(root, resolved(root, property)), meaning });
        }
    }
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
    name.and_then(|name| root.get("$defs")?.get(name)).unwrap_or(schema)
}

/// The type of a key in words.
fn kind(root: &Value, schema: &Value) -> String {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> =
            words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let choices: Vec<String> = choices.iter().map(|choice| kind(root, resolved(root, choice))).collect();
        return choices.join(" or ");
    }
    match (schema.get("type").and_then(Value::as_str), schema.get("pattern").and_then(Value::as_str)) {
        (Some("string"), Some(pattern)) if pattern.contains("ms|s") => {
            "duration: `30s`, `5m`, `1h`".to_owned()
        }
        (Some("string"), Some(_)) => "size: `512 MiB`".to_owned(),
        (Some("string"), None) => "string".to_owned(),
        (Some("integer"), _) => "integer".to_owned(),
        (Some("boolean"), _) => "boolean".to_owned(),
        (Some("array"), _) => "list of strings".to_owned(),
        (Some("object"), _) if schema.get("properties").is_some() => {
            let keys = schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|object| object.keys());
            format!("table of {}", keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))
        }
        (Some("object"), _) => "table of strings".to_owned(),
        _ => "any".to_owned(),
    }
}

/// The reference part of `docs/policy.md`: one table per section, with the values of the built-in default.
pub fn markdown() -> String {
    let defaults = defaults();
    let rows = rows(&schema());
    let mut text = String::new();
    for section in rows.chunk_by(|one, next| section(one) == section(next)) {
        let (heading, keys) = match section {
            [table, keys @ ..] if table.kind == "table" => (Some(table), keys),
            keys => (None, keys),
        };
        match heading {
            None => text.push_str("### At the top\n\n"),
            Some(Row { key, meaning, .. }) => {
                let shown = match key.strip_suffix("[]") {
                    Some(list) => format!("[[{list}]]"),
                    None => format!("[{}]", key.replace('*', "NAME")),
                };
                text.push_str(&format!("### `{shown}`\n\n{meaning}\n\n"));
            }
        }
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        let prefix = heading.map(|heading| format!("{}.", heading.key)).unwrap_or_default();
        for Row { key, kind, meaning } in keys {
            let default = defaults.get(key).map(|value| format!("`{value}`")).unwrap_or_default();
            let key = key.strip_prefix(&prefix).unwrap_or(key).replace(".*", ".NAME");
            let cells = [format!("`{key}`"), kind.clone(), default, meaning.clone()];
            text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// The table at the top level that a key belongs to; empty for a key of the top level itself.
fn section(row: &Row) -> &str {
    let top = row.key.split(['.', '[']).next().unwrap_or_default();
    if row.key == top && row.kind != "table" { "" } else { top }
}

/// What the built-in default says, by key, as TOML.
fn defaults() -> BTreeMap<String, String> {
    let mut defaults = BTreeMap::new();
    if let Ok(table) = BuiltIn::Default.text().parse::<toml::Table>() {
        flatten(&table, "", &mut defaults);
    }
    defaults.remove("version");
    defaults
}

fn flatten(table: &toml::Table, prefix: &str, defaults: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        if let toml::Value::Table(inner) = value {
            flatten(inner, &format!("{key}."), defaults);
        }
        let shown = match value {
            toml::Value::Array(list) if list.len() > 6 => format!("{} entries", list.len()),
            other => other.to_string(),
        };
        defaults.insert(key, shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_what_the_shapes_say() {
        let page = include_str!("../../../../docs/policy.md");
        let (_, reference) = page.split_once("<!-- generated -->\n").unwrap();
        assert_eq!(
            reference.trim(),
            markdown().trim(),
            "replace that part by `keyblind policy schema --markdown`"
        );
    }

    #[test]
    fn the_examples_in_docs_are_true() {
        let page = include_str!("../../../../docs/policy.md");
        let (_, file) = page.split_once("```toml\n").unwrap();
        let (file, _) = file.split_once("```").unwrap();
        let source = super::super::Source::File(std::path::Path::new("/p.toml").into());
        super::super::Policy::parse(file, &source).unwrap_or_else(|report| panic!("{report}"));
        let home = std::path::Path::new("/home/jo");
        let roots = super::super::Roots { project: std::path::Path::new("/src"), home: Some(home) };
        let query = super::super::Query::Read("~/.aws/credentials".into());
        let answer = super::super::explain(&BuiltIn::Default.policy().unwrap(), &query, &roots);
        assert!(
            page.contains(&format!("$ keyblind policy explain ~/.aws/credentials\n{answer}\n```")),
            "{answer}"
        );
    }

    #[test]
    fn every_section_is_in_the_reference_and_every_key_has_a_meaning() {
        let schema = schema();
        let rows = rows(&schema);
        let sections = schema.get("properties").unwrap().as_object().unwrap();
        for section in sections.keys() {
            assert!(ORDER.contains(&section.as_str()), "{section}");
        }
        for row in &rows {
            assert!(row.meaning.len() > 3, "{} has no meaning", row.key);
            assert_ne!(row.kind, "any", "{}", row.key);
        }
        assert!(rows.iter().any(|row| row.key == "tool.*.params.*.type"));
        assert!(rows.iter().any(|row| row.key == "guard[].keys.deny"));
    }

    #[test]
    fn the_schema_has_no_null_and_no_unknown_keys() {
        let schema = schema();
        assert!(!schema.to_string().contains("null"));
        assert_eq!(schema.get("additionalProperties"), Some(&Value::Bool(false)));
        let shapes = schema.get("$defs").unwrap().as_object().unwrap();
        for (name, shape) in shapes {
            assert_eq!(shape.get("additionalProperties"), Some(&Value::Bool(false)), "{name}");
        }
    }
}
