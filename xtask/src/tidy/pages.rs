//! The pages that name tests: each cell filled, each test there.

use super::{Complaint, File, Tree};
use crate::shell::Result;

/// `docs/attacks.md`: no empty cell, and the last column names tests that exist.
pub(super) fn attacks(tree: &Tree) -> Result<Vec<Complaint>> {
    Ok(table(tree, "docs/attacks.md"))
}

/// `docs/done.md`: the same, and each numbered feature has a row.
pub(super) fn done(tree: &Tree) -> Result<Vec<Complaint>> {
    const PAGE: &str = "docs/done.md";
    const FEATURES: u32 = 8;
    let mut complaints = table(tree, PAGE);
    if let Some(file) = tree.get(PAGE) {
        for feature in 1..=FEATURES {
            let named = rows(file).any(|(_, cells)| {
                let number = cells.first().and_then(|cell| cell.split('.').next());
                number.and_then(|number| number.parse().ok()) == Some(feature)
            });
            if !named {
                complaints.push(file.complain(0, format!("feature {feature} has no row")));
            }
        }
    }
    Ok(complaints)
}

/// `CHANGELOG.md` has a place for what is not released.
pub(super) fn changelog(tree: &Tree) -> Result<Vec<Complaint>> {
    const PAGE: &str = "CHANGELOG.md";
    match tree.get(PAGE) {
        Some(file) if file.text.contains("\n## [Unreleased]\n") => Ok(Vec::new()),
        _ => Ok(vec![Complaint {
            path: PAGE.to_owned(),
            line: 0,
            what: "no `## [Unreleased]` section".to_owned(),
        }]),
    }
}

fn table(tree: &Tree, page: &str) -> Vec<Complaint> {
    let Some(file) = tree.get(page) else {
        return vec![Complaint { path: page.to_owned(), line: 0, what: "the page is missing".to_owned() }];
    };
    let mut complaints = Vec::new();
    let mut seen = 0;
    for (number, cells) in rows(file) {
        seen += 1;
        if cells.iter().any(|cell| cell.is_empty()) {
            complaints.push(file.complain(number, "an empty cell"));
        }
        let tests: Vec<_> = cells.last().map_or("", |cell| cell).split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            complaints.push(file.complain(number, "the last column names no test"));
        }
        for test in tests {
            let name = test.rsplit("::").next().unwrap_or(test);
            if !tree.has_fn(name) {
                complaints.push(file.complain(number, format!("there is no test `{test}`")));
            }
        }
    }
    if seen == 0 {
        complaints.push(file.complain(0, "the table has no rows"));
    }
    complaints
}

/// The rows of the page's tables below their headers, as (line, cells).
fn rows(file: &File) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let mut in_body = false;
    file.lines().filter_map(move |(number, line)| {
        let Some(inner) = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
            in_body = false;
            return None;
        };
        if inner.chars().all(|c| matches!(c, '-' | ' ' | '|' | ':')) && inner.contains('-') {
            in_body = true;
            return None;
        }
        in_body.then(|| (number, inner.split('|').map(str::trim).collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: (&str, &str) = ("tests/a.rs", "#[test]\nfn own_environ() {}\n");

    #[test]
    fn a_row_needs_every_cell_and_a_real_test() -> Result<()> {
        let page = "| what | user | test |\n|---|---|---|\n| a | held | `x::own_environ` |\n\
                    | b | | `own_environ` |\n| c | held | `gone` |\n| d | held | none |\n";
        let found = attacks(&Tree::of(&[CODE, ("docs/attacks.md", page)]))?;
        let said: Vec<_> = found.iter().map(|complaint| (complaint.line, complaint.what.as_str())).collect();
        assert_eq!(
            said,
            [(4, "an empty cell"), (5, "there is no test `gone`"), (6, "the last column names no test")]
        );
        Ok(())
    }

    #[test]
    fn each_feature_needs_a_row() -> Result<()> {
        let rows: String = (1..=7).map(|n| format!("| {n}.1 x | `own_environ` |\n")).collect();
        let page = format!("| item | test |\n|---|---|\n{rows}");
        let found = done(&Tree::of(&[CODE, ("docs/done.md", &page)]))?;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "feature 8 has no row");
        Ok(())
    }

    #[test]
    fn a_page_that_is_not_there_is_a_complaint() -> Result<()> {
        assert_eq!(attacks(&Tree::default())?.len(), 1);
        assert_eq!(changelog(&Tree::of(&[("CHANGELOG.md", "# x\n")]))?.len(), 1);
        Ok(())
    }
}
