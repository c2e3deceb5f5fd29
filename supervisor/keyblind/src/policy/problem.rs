//! What is wrong with a policy file, shown as the line with carets below it.

use std::fmt;
use std::ops::Range;

use super::{Origin, Source};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// What is wrong, naming the key and its table.
    pub(super) title: String,
    /// Bytes of the text.
    pub(super) span: Range<usize>,
    /// What to write instead; stands after the carets.
    pub(super) label: String,
}

impl Problem {
    pub(super) fn new(title: impl Into<String>, span: Range<usize>, label: impl Into<String>) -> Problem {
        Problem { title: title.into(), span, label: label.into() }
    }
}

/// All mistakes of one policy file. Shown with the offending lines, so it ends up on an operator's terminal and
/// nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    title: String,
    origin: Origin,
    column: usize,
    line: String,
    carets: String,
    label: String,
}

impl Report {
    /// Sorts the problems by place and keeps the lines that they are about. `problems` is not empty.
    pub(super) fn new(source: &Source, text: &str, mut problems: Vec<Problem>) -> Report {
        problems.sort_by_key(|problem| problem.span.start);
        let items = problems.into_iter().map(|problem| Item::new(source, text, problem)).collect();
        Report { items }
    }

    /// [`Report::new`], where there may be no problem.
    pub(super) fn unless_empty(source: &Source, text: &str, problems: Vec<Problem>) -> Result<(), Report> {
        if problems.is_empty() { Ok(()) } else { Err(Report::new(source, text, problems)) }
    }

    /// The first mistake in three lines, for whoever wanted something else than to check a policy.
    pub fn brief(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            let Some(first) = self.items.first() else { return Ok(()) };
            write!(f, "{}:{}: {}", first.origin, first.column, first.title)?;
            match self.items.len() - 1 {
                0 => writeln!(f)?,
                more => writeln!(f, " (and {more} more: keyblind policy check {})", first.origin.source)?,
            }
            first.excerpt(f)
        })
    }

    /// Where the mistakes are, in the order in which they are shown.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.items.iter().map(|item| &item.origin)
    }
}

impl Item {
    fn new(source: &Source, text: &str, problem: Problem) -> Item {
        let start = floor(text, problem.span.start);
        let end = floor(text, problem.span.end).max(start);
        let before = text.get(..start).unwrap_or_default();
        let number = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).unwrap_or_default();
        let line = line.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let prefix = line.get(..start - line_start).unwrap_or(line);
        let marked = line.get(start - line_start..(end - line_start).min(line.len())).unwrap_or_default();
        let mut carets: String = prefix.chars().map(|char| if char == '\t' { '\t' } else { ' ' }).collect();
        carets.extend(std::iter::repeat_n('^', marked.chars().count().max(1)));
        Item {
            title: shown(&problem.title),
            origin: Origin { source: source.clone(), line: u32::try_from(number).unwrap_or(u32::MAX) },
            column: prefix.chars().count() + 1,
            line: shown(line),
            carets,
            label: shown(&problem.label),
        }
    }
}

impl Item {
    fn margin(&self) -> String {
        " ".repeat(self.origin.line.to_string().len())
    }

    /// The line, and the carets below it.
    fn excerpt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} | {}", self.origin.line, self.line)?;
        write!(f, "{} | {}", self.margin(), self.carets)?;
        if self.label.is_empty() { Ok(()) } else { write!(f, " {}", self.label) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            let Item { title, origin, column, .. } = item;
            writeln!(f, "error: {title}")?;
            writeln!(f, "{}--> {origin}:{column}", item.margin())?;
            item.excerpt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// As many characters as `text` has, but no control characters, since the bytes of a file must not drive the
/// terminal, and no passwords of URLs, which have no place in a policy and less in a message.
fn shown(text: &str) -> String {
    let mut hide = vec![false; text.len()];
    for (start, _) in text.match_indices("://") {
        let authority = start + 3;
        let rest = text.get(authority..).unwrap_or_default();
        let end = rest.find(['/', '?', '#', '"', '\'', '`', ' ']).unwrap_or(rest.len());
        let Some((user, _)) = rest.get(..end).unwrap_or_default().rsplit_once('@') else { continue };
        let Some(colon) = user.find(':') else { continue };
        for hide in hide.iter_mut().take(authority + user.len()).skip(authority + colon + 1) {
            *hide = true;
        }
    }
    let hidden = |at: usize| hide.get(at).copied().unwrap_or(false);
    text.char_indices()
        .map(|(at, char)| match char {
            _ if hidden(at) => '*',
            char if char.is_control() && char != '\t' => char::REPLACEMENT_CHARACTER,
            char => char,
        })
        .collect()
}

/// `did you mean …` when one of `known` is near `given`, else the list of what may stand there.
pub(super) fn suggest(given: &str, known: &[&str]) -> String {
    match nearest(given, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => one_of(known),
    }
}

/// `expected …` with every name that may stand there.
pub(super) fn one_of(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing may stand here".to_owned(),
        [one] => format!("expected {one}"),
        [most @ .., last] => format!("expected {} or {last}", most.join(", ")),
    }
}

/// The name of `known` that is fewest typing mistakes away from `given`, if they are few enough to be meant.
pub(super) fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    let given: Vec<char> = given.chars().take(64).flat_map(char::to_lowercase).collect();
    let near = known.iter().map(|name| (distance(&given, name), *name)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, name)| *distance <= (name.chars().count().min(given.len()) / 3).max(1))
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours between two names.
fn distance(given: &[char], name: &str) -> usize {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=name.len()).collect();
    for (row, g) in given.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, n) in name.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(g != n))
                .min(at(&last, column + 1) + 1)
                .min(at(&this, column) + 1);
            let swapped =
                row > 0 && column > 0 && given.get(row - 1) == Some(n) && name.get(column - 1) == Some(g);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            this.push(best);
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn show(text: &str, problems: Vec<Problem>) -> String {
        Report::new(&Source::File(Path::new("/p.toml").into()), text, problems).to_string()
    }

    #[test]
    fn carets_stand_below_what_is_wrong() {
        let text = "a = 1\n\tkäse = \"b\"\n";
        let start = text.find('"').unwrap();
        assert_eq!(
            show(text, vec![Problem::new("no cheese", start..start + 3, "less of it")]),
            "error: no cheese\n -->/p.toml:2:9\n2 | \tkäse = \"b\"\n  | \t       ^^^ less of it"
                .replace("-->", "--> ")
        );
    }

    #[test]
    fn spans_over_lines_and_at_the_end_and_out_of_range_are_shown() {
        let text = "a = [\n1]";
        assert_eq!(
            show(text, vec![Problem::new("t", 4..8, "")]),
            "error: t\n --> /p.toml:1:5\n1 | a = [\n  |     ^"
        );
        assert_eq!(
            show(text, vec![Problem::new("t", 8..8, "x")]),
            "error: t\n --> /p.toml:2:3\n2 | 1]\n  |   ^ x"
        );
        assert_eq!(
            show("é", vec![Problem::new("t", 1..99, "x")]),
            "error: t\n --> /p.toml:1:1\n1 | é\n  | ^ x"
        );
        assert_eq!(show("", vec![Problem::new("t", 0..0, "x")]), "error: t\n --> /p.toml:1:1\n1 | \n  | ^ x");
    }

    #[test]
    fn problems_stand_in_the_order_of_the_file_and_control_characters_do_not_reach_the_terminal() {
        let text = "a\u{1b}[2J\nb\n";
        let problems = vec![Problem::new("second", 6..7, ""), Problem::new("first", 0..1, "")];
        assert_eq!(
            show(text, problems),
            "error: first\n --> /p.toml:1:1\n1 | a\u{fffd}[2J\n  | ^\n\nerror: second\n --> /p.toml:2:1\n2 | b\n  | ^"
        );
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(suggest("alow", &["allow", "deny"]), "did you mean `allow`?");
        assert_eq!(suggest("dney", &["allow", "deny"]), "did you mean `deny`?");
        assert_eq!(suggest("DENY", &["allow", "deny"]), "did you mean `deny`?");
        assert_eq!(suggest("x", &["allow", "deny"]), "expected `allow` or `deny`");
        assert_eq!(suggest("x", &["allow"]), "expected `allow`");
        assert_eq!(nearest("", &["allow"]), None);
    }
}
