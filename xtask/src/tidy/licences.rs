//! Each dependency's licence is one that `deny.toml` allows. cargo-deny does more, where it is installed; this
//! much needs nothing but cargo.

use serde_json::Value;

use super::{Complaint, Tree};
use crate::shell::{self, Error, Result};

const CONFIG: &str = "deny.toml";

pub(super) fn check(tree: &Tree) -> Result<Vec<Complaint>> {
    let Some(file) = tree.get(CONFIG) else {
        return Ok(vec![Complaint {
            path: CONFIG.to_owned(),
            line: 0,
            what: "the file is missing".to_owned(),
        }]);
    };
    let config: toml::Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => return Ok(vec![file.complain(0, error.message())]),
    };
    let allowed =
        config.get("licenses").and_then(|licenses| licenses.get("allow")).and_then(|list| list.as_array());
    let allowed: Vec<&str> = allowed.into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let text = shell::stdout(&mut shell::cargo(&["metadata", "--locked", "--format-version", "1"]))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|source| Error::Json { path: "cargo metadata".to_owned(), source })?;
    let packages = value["packages"].as_array().cloned().unwrap_or_default();
    Ok(packages
        .iter()
        .filter(|package| !permits(&allowed, expression(package)))
        .map(|package| {
            let named = |key: &str| package[key].as_str().unwrap_or("?").to_owned();
            file.complain(
                0,
                format!(
                    "{} {} is under {}, which is not allowed",
                    named("name"),
                    named("version"),
                    expression(package)
                ),
            )
        })
        .collect())
}

fn expression(package: &Value) -> &str {
    package["license"].as_str().unwrap_or("no licence at all")
}

/// Whether an SPDX expression can be met by the allowed licences alone. `AND` binds tighter than `OR`; the old
/// slash means `OR`.
fn permits(allowed: &[&str], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(allowed, &mut rest) && rest.is_empty()
}

fn any(allowed: &[&str], rest: &mut &[&str]) -> bool {
    let mut met = all(allowed, rest);
    while let Some((&"OR", after)) = rest.split_first() {
        *rest = after;
        met |= all(allowed, rest);
    }
    met
}

fn all(allowed: &[&str], rest: &mut &[&str]) -> bool {
    let mut met = one(allowed, rest);
    while let Some((&"AND", after)) = rest.split_first() {
        *rest = after;
        met &= one(allowed, rest);
    }
    met
}

fn one(allowed: &[&str], rest: &mut &[&str]) -> bool {
    let Some((word, after)) = rest.split_first() else { return false };
    *rest = after;
    if *word == "(" {
        let met = any(allowed, rest);
        *rest = rest.strip_prefix(&[")"]).unwrap_or(rest);
        return met;
    }
    if let Some((&"WITH", exception)) = rest.split_first() {
        *rest = exception.get(1..).unwrap_or_default();
    }
    allowed.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spdx_expressions_are_judged() {
        let check = |expression, expect| {
            assert_eq!(permits(&["MIT", "Unicode-3.0"], expression), expect, "{expression}")
        };
        check("MIT", true);
        check("GPL-3.0-only", false);
        check("Apache-2.0 OR MIT", true);
        check("MIT/Apache-2.0", true);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("(MIT OR Apache-2.0) AND GPL-3.0-only", false);
        check("Apache-2.0 WITH LLVM-exception OR MIT", true);
        check("no licence at all", false);
        check("", false);
    }
}
