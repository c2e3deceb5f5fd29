//! Telling names: how they begin, how they go on, and what makes other names of them.

use super::between::quotes;

/// A value that hangs on its name (`service-token-0123…`) has at least so many letters and digits.
const HANGING: usize = 20;

pub(super) fn name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// Answers "no" early where most words stand: `passed`, `token refresh failed`. It needs the bytes it
/// looks at; where they have not come yet the slow way decides, and decides the same.
pub(crate) fn is_prose(text: &[u8], end: usize) -> bool {
    // Signs that belong to a word are read again.
    let Some(after) = text.get(end..end + 24).filter(|_| text[end - 1].is_ascii_alphanumeric()) else {
        return false;
    };
    let lower = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_lowercase()).count();
    match after[0] {
        b' ' => {
            // One short word and then another: no sign, no value.
            let word = lower(&after[1..]);
            (1..8).contains(&word)
                && after[1 + word] == b' '
                && after[2 + word].is_ascii_alphabetic()
                && !FILLERS.iter().any(|filler| after[1..].starts_with(filler.as_bytes()))
        }
        // Several of them: `tokens = [`.
        b's' if !after[1].is_ascii_alphanumeric() => after[1] == b' ' && !matches!(after[2], b'=' | b':'),
        b'a'..=b'z' if text[end - 1].is_ascii_lowercase() => {
            !CONTINUES.iter().any(|word| after.starts_with(word.as_bytes()))
        }
        // The value may stand in the next line, after a name of its own.
        b'\n' | b'\r' => {
            let next = after[1..].trim_ascii_start().first();
            next.is_some_and(|b| !matches!(b, b'v' | b'V' | b'"' | b'\'' | b'\\' | b','))
        }
        // `</key><string>`.
        b'<' => after[1] != b'/',
        b'!' => after[1] != b'=',
        // Neither a name's next byte nor a quote, a bracket or a sign.
        b'/' | b'@' | b'#' | b'%' | b'^' | b'&' | b';' | b'~' | b'{' | b'}' | b'[' | b'$' => true,
        _ => false,
    }
}

/// Words that go on a name without making it another one: `secretkey`.
pub(super) const CONTINUES: &[&str] = &["key", "token", "access", "value", "secret", "code"];

/// Words between a name and its value that say nothing: `access key id AKIA…`, `the token is …`.
pub(super) const FILLERS: &[&str] = &["id", "is", "was", "value", "code", "number"];

pub(super) fn starts_with_word(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether what hangs on a name is a value: letters and digits in a row, a UUID, or groups of both.
pub(super) fn hangs(rest: &[u8]) -> bool {
    let run = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let digits = rest.iter().filter(|b| b.is_ascii_digit()).count();
    let mixed = |group: &[u8]| {
        group.iter().any(u8::is_ascii_digit)
            && group.iter().any(u8::is_ascii_alphabetic)
            && group.iter().all(u8::is_ascii_alphanumeric)
    };
    run >= HANGING && digits > 2
        || is_uuid(rest)
        || rest.len() >= 32 && digits >= 8 && rest.split(|b| *b == b'-').filter(|g| mixed(g)).count() >= 3
}

/// Whether `text` begins as 8-4-4-4-12 letters and digits.
fn is_uuid(text: &[u8]) -> bool {
    text.len() >= 36
        && text[..36].iter().any(u8::is_ascii_digit)
        && text.iter().take(36).enumerate().all(|(n, b)| match n {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_alphanumeric(),
        })
}

/// The name's bytes that stand before `at`, and what stands before them.
fn name_before(text: &[u8], at: usize) -> (&[u8], &[u8]) {
    let before = &text[at.saturating_sub(32)..at];
    let name = before.iter().rev().take_while(|&&b| name_byte(b)).count();
    let (rest, name) = before.split_at(before.len() - name);
    (rest, name)
}

/// `--name` or `-name`, looking back over the name's own bytes.
pub(super) fn is_flag(text: &[u8], at: usize) -> bool {
    let (before, name) = name_before(text, at);
    name.starts_with(b"-") && !before.is_empty() || before.is_empty() && name.starts_with(b"--")
}

/// `<name`.
pub(super) fn is_element(text: &[u8], at: usize) -> bool {
    name_before(text, at).0.ends_with(b"<")
}

/// The bracket of `("name"` or `["name"`: a comma behind it comes before its value, and not before the next
/// thing.
pub(super) fn argument(text: &[u8], at: usize) -> Option<u8> {
    let before = name_before(text, at).0.trim_ascii_end();
    let quote = before.last().filter(|b| quotes(**b))?;
    let opening = before.strip_suffix(&[*quote])?.trim_ascii_end().last().copied();
    // Where no more can be seen the name is long, and the quote speaks for itself.
    opening.or(Some(b'(')).filter(|b| matches!(b, b'(' | b'['))
}

/// Whether what follows the word in the name makes another word of it (`tokenizer`), or a place in a file of
/// it (`password.rs:12`).
pub(super) fn is_other_word(last: u8, tail: &[u8]) -> bool {
    let Some(&first) = tail.first() else { return false };
    let same_word = first.is_ascii_lowercase() && last.is_ascii_alphabetic()
        || first.is_ascii_uppercase() && last.is_ascii_uppercase();
    same_word && !CONTINUES.iter().any(|word| starts_with_word(tail, word))
        || first == b'.' && tail.len() < 6 && tail[1..].iter().all(u8::is_ascii_lowercase)
}

/// Whether a name that goes on like this is of something about a secret, `password_file`, or of a place.
pub(super) fn is_about(tail: &[u8], url: bool) -> bool {
    tail.iter().enumerate().any(|(at, first)| {
        let rest = &tail[at..];
        let (words, places) = about(first.to_ascii_lowercase());
        words.iter().any(|word| starts_with_word(rest, word))
            || !url && places.iter().any(|word| starts_with_word(rest, word))
    })
}

/// Words in names of what describes a secret and does not hold it, and of places, by their first letter.
fn about(first: u8) -> (&'static [&'static str], &'static [&'static str]) {
    match first {
        b'a' => (&["algo", "age"], &[]),
        b'b' => (&["budget"], &[]),
        b'c' => (&["count", "class"], &[]),
        b'd' => (&["dir"], &[]),
        b'e' => (&["expir", "enabled"], &["endpoint"]),
        b'f' => (&["file", "field", "format"], &[]),
        b'l' => (&["len", "limit", "label"], &[]),
        b'm' => (&["min", "max", "manager", "mgr"], &[]),
        b'n' => (&["name"], &[]),
        b'p' => (&["path", "policy", "prompt", "provider"], &[]),
        b'r' => (&["required", "rotat"], &[]),
        b's' => (&["size", "stats"], &[]),
        b't' => (&["type", "ttl"], &[]),
        b'u' => (&["usage"], &["url", "uri"]),
        b'v' => (&["version", "valid"], &[]),
        _ => (&[], &[]),
    }
}
