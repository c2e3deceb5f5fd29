//! File sizes, fences against `unsafe`, SAFETY comments, things left behind.

use std::collections::BTreeSet;

use super::{Complaint, File, Tree};
use crate::shell::Result;

/// Above this, two things live in a file.
const MOST_LINES: usize = 600;

pub(super) fn sizes(tree: &Tree) -> Result<Vec<Complaint>> {
    let counted = tree.rust().map(|file| (file, code_lines(file)));
    let large = counted.filter(|(_, lines)| *lines > MOST_LINES);
    Ok(large
        .map(|(file, lines)| file.complain(0, format!("{lines} lines, more than {MOST_LINES}")))
        .collect())
}

/// Lines before the unit tests, which stand last in a file; a file of tests alone counts nothing.
fn code_lines(file: &File) -> usize {
    if file.path.ends_with("/tests.rs") {
        return 0;
    }
    file.text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

/// Whether a line of code, not of comment or text, opens something unsafe.
fn has_unsafe(file: &File) -> bool {
    let opens = ["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe impl<", "unsafe extern ", "#[unsafe("];
    let code = file.text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| !line.contains('"')).any(|line| opens.iter().any(|open| line.contains(open)))
}

/// A module forbids unsafe code, or the page that says where it may stand names it. In a crate without any, the
/// fence is at the crate's root.
pub(super) fn fences(tree: &Tree) -> Result<Vec<Complaint>> {
    const PAGE: &str = "docs/architecture.md";
    let mut complaints = Vec::new();
    let page = tree.get(PAGE).map_or("", |file| file.text.as_str());
    for file in tree.rust().filter(|file| has_unsafe(file)) {
        if !page.contains(&format!("`{}`", file.path)) {
            complaints.push(file.complain(0, format!("unsafe code, and {PAGE} does not name this file")));
        }
    }
    for name in page.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")) {
        if tree.get(name).is_some_and(|file| !has_unsafe(file)) && page.contains(&format!("- `{name}`")) {
            complaints.push(Complaint {
                path: PAGE.to_owned(),
                line: 0,
                what: format!("names {name} for its unsafe code, but it has none"),
            });
        }
    }
    for source in sources(tree) {
        let crate_is_safe = !tree.rust().any(|file| file.path.starts_with(&source) && has_unsafe(file));
        let fenced = |file: &File| file.text.contains("#![forbid(unsafe_code)]");
        for file in tree.rust().filter(|file| file.path.starts_with(&source)) {
            let inner = &file.path[source.len()..];
            let is_root =
                inner == "lib.rs" || (inner == "main.rs" && tree.get(&format!("{source}lib.rs")).is_none());
            if crate_is_safe && is_root && !fenced(file) {
                complaints
                    .push(file.complain(1, "this crate has no unsafe code: say #![forbid(unsafe_code)]"));
            }
            if !crate_is_safe
                && is_top_module(inner)
                && !fenced(file)
                && !module_is_unsafe(tree, &source, inner)
            {
                complaints
                    .push(file.complain(1, "this module has no unsafe code: say #![forbid(unsafe_code)]"));
            }
        }
    }
    Ok(complaints)
}

/// The source directories of the crates, each with a slash at its end.
fn sources(tree: &Tree) -> BTreeSet<String> {
    let manifests = tree.files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    manifests.map(|dir| format!("{dir}/src/")).collect()
}

/// `x.rs` or `x/mod.rs` directly below the source directory.
fn is_top_module(inner: &str) -> bool {
    let parts: Vec<_> = inner.split('/').collect();
    match parts.as_slice() {
        [file] => !matches!(*file, "lib.rs" | "main.rs"),
        [_, file] => *file == "mod.rs",
        _ => false,
    }
}

fn module_is_unsafe(tree: &Tree, source: &str, inner: &str) -> bool {
    let prefix = match inner.strip_suffix("mod.rs") {
        Some(dir) => format!("{source}{dir}"),
        None => format!("{source}{}", inner.trim_end_matches(".rs")),
    };
    tree.rust().any(|file| file.path.starts_with(&prefix) && has_unsafe(file))
}

/// A SAFETY comment names an invariant and who upholds it.
pub(super) fn safety(tree: &Tree) -> Result<Vec<Complaint>> {
    const SAYS_NOTHING: &[&str] = &[
        "args are correct",
        "as above",
        "arguments are correct",
        "arguments are valid",
        "not actually unsafe",
        "trivially safe",
    ];
    const MARK: &str = "// SAFETY:";
    const FEWEST_WORDS: usize = 2;
    let mut complaints = Vec::new();
    for file in tree.rust().filter(|file| file.path != "xtask/src/tidy/rust.rs") {
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(start) = line.strip_prefix(MARK) else { continue };
            let more = lines[index + 1..].iter().take_while(|next| !next.starts_with(MARK));
            let more = more.map_while(|next| next.strip_prefix("//"));
            let said = std::iter::once(start).chain(more).collect::<Vec<_>>().join(" ").to_lowercase();
            let words = said.split_whitespace().count();
            if words < FEWEST_WORDS || SAYS_NOTHING.iter().any(|phrase| said.contains(phrase)) {
                complaints
                    .push(file.complain(index + 1, "SAFETY must name the invariant and who upholds it"));
            }
        }
    }
    Ok(complaints)
}

/// Marks of unfinished work, and tests that never run.
pub(super) fn leftovers(tree: &Tree) -> Result<Vec<Complaint>> {
    // Built from halves, so that this file does not complain about itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimple", "mented!"),
        concat!("to", "do!("),
        concat!("#[ig", "nore"),
    ];
    let mut complaints = Vec::new();
    for file in tree.rust() {
        for (number, line) in file.lines() {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                complaints.push(file.complain(number, format!("{mark} left in the code")));
            }
        }
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(found: Vec<Complaint>) -> Vec<String> {
        found.into_iter().map(|complaint| format!("{}: {}", complaint.path, complaint.what)).collect()
    }

    #[test]
    fn unit_tests_do_not_count_as_code() -> Result<()> {
        let long = "x\n".repeat(601);
        let tested = format!("{}#[cfg(test)]\n{long}", "x\n".repeat(600));
        let found = sizes(&Tree::of(&[("a.rs", &long), ("b.rs", &tested), ("c/tests.rs", &long)]))?;
        assert_eq!(whats(found), ["a.rs: 601 lines, more than 600"]);
        Ok(())
    }

    #[test]
    fn unsafe_code_must_be_named_on_the_page_and_the_page_must_be_true() -> Result<()> {
        let tree = Tree::of(&[
            ("p/Cargo.toml", ""),
            ("p/src/lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("p/src/a.rs", "fn f() { unsafe { g() } }\n"),
            ("p/src/b.rs", "#![forbid(unsafe_code)]\n"),
            ("p/src/c.rs", "// unsafe { no }\n"),
            ("docs/architecture.md", "- `p/src/b.rs`: why\n"),
        ]);
        assert_eq!(
            whats(fences(&tree)?),
            [
                "p/src/a.rs: unsafe code, and docs/architecture.md does not name this file",
                "docs/architecture.md: names p/src/b.rs for its unsafe code, but it has none",
                "p/src/c.rs: this module has no unsafe code: say #![forbid(unsafe_code)]",
            ]
        );
        Ok(())
    }

    #[test]
    fn a_safe_crate_is_fenced_at_its_root() -> Result<()> {
        let bare = Tree::of(&[("p/Cargo.toml", ""), ("p/src/lib.rs", "//! x\n"), ("p/src/main.rs", "")]);
        assert_eq!(fences(&bare)?.len(), 1);
        let fenced = Tree::of(&[("p/Cargo.toml", ""), ("p/src/lib.rs", "#![forbid(unsafe_code)]\n")]);
        assert_eq!(fences(&fenced)?, []);
        Ok(())
    }

    #[test]
    fn boilerplate_safety_is_refused() -> Result<()> {
        let file = "// SAFETY: the args are correct here, as always.\n// SAFETY: fine.\n\
                    // SAFETY: `fd` is open: the caller owns it\n// until this returns.\n";
        let found = safety(&Tree::of(&[("a.rs", file)]))?;
        assert_eq!(found.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [1, 2]);
        Ok(())
    }
}
