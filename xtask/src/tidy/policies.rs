//! Each rule of a policy file says why it is there.

use toml::Value;

use super::{Complaint, Tree};
use crate::shell::Result;

pub(super) fn reasons(tree: &Tree) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for file in
        tree.files.iter().filter(|file| file.path.starts_with("policies/") && file.path.ends_with(".toml"))
    {
        match file.text.parse::<toml::Table>() {
            Ok(table) => {
                let mut without = Vec::new();
                unreasoned(&mut without, "", &Value::Table(table));
                complaints.extend(
                    without.into_iter().map(|rule| file.complain(0, format!("{rule} has no reason"))),
                );
            }
            Err(error) => complaints.push(file.complain(0, error.message())),
        }
    }
    Ok(complaints)
}

/// Rules are the entries of arrays of tables (`[[guard]]`), wherever they stand; a tool's grants are none, its
/// description says what they are for.
fn unreasoned(found: &mut Vec<String>, name: &str, value: &Value) {
    match value {
        Value::Table(table) => {
            for (key, inner) in table.iter().filter(|(key, _)| *key != "grants") {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                unreasoned(found, &path, inner);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                let Value::Table(rule) = entry else { continue };
                let reason = rule.get("reason").and_then(Value::as_str).unwrap_or_default();
                if reason.trim().is_empty() {
                    let id = rule
                        .get("id")
                        .and_then(Value::as_str)
                        .map_or_else(|| index.to_string(), str::to_owned);
                    found.push(format!("{name} {id}"));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_a_reason_is_named() -> Result<()> {
        let policy = "[[guard]]\nid = \"a\"\nreason = \"keys\"\n[[guard]]\nid = \"b\"\n\
                      [[redact.rule]]\nreason = \" \"\n[files]\nread = [\"/usr\"]\n";
        let found = reasons(&Tree::of(&[("policies/x.toml", policy), ("other/x.toml", policy)]))?;
        let said: Vec<_> = found.iter().map(|complaint| complaint.what.as_str()).collect();
        assert_eq!(said, ["guard b has no reason", "redact.rule 0 has no reason"]);
        Ok(())
    }
}
