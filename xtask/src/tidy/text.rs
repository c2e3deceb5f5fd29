//! Trailing space, tabs, missing final newline.

use super::{Complaint, Tree};
use crate::shell::Result;

const CHECKED: &[&str] = &[".rs", ".md", ".toml", ".sh", ".ci/run"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| CHECKED.iter().any(|end| file.path.ends_with(end))) {
        for (number, line) in file.lines() {
            if line.ends_with([' ', '\t', '\r']) {
                complaints.push(file.complain(number, "trailing space"));
            }
            if line.contains('\t') {
                complaints.push(file.complain(number, "tab"));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            complaints.push(file.complain(0, "no newline at the end"));
        }
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named_at_its_line() -> Result<()> {
        let found =
            check(&Tree::of(&[("a.rs", "ok\nbad \n\tbad\n"), ("b.md", "no end"), ("c.bin", "x \n")]))?;
        let places: Vec<_> = found.iter().map(|fault| (fault.path.as_str(), fault.line)).collect();
        assert_eq!(places, [("a.rs", 2), ("a.rs", 3), ("b.md", 0)]);
        Ok(())
    }
}
