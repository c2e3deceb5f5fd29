#![forbid(unsafe_code)]
//! Text from paths and arguments made fit for a terminal and for one line.
//!
//! A name is chosen by the run: it may hold escape sequences that repaint the operator's screen, line
//! breaks that fake a log line, or bidirectional controls that show it in another order (CVE-2021-42574).

/// `bytes` as one line of harmless text: control, format and bidirectional characters as `\u{202e}`,
/// newline, carriage return and tab as `\n`, `\r`, `\t`, a byte that is no UTF-8 as `\xff`, and the
/// backslash doubled, so that two different names never look alike by escaping.
pub fn printable(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// As [`printable`], in double quotes when it is empty or holds a space, a quote or a backslash, as a shell
/// user would write one argument.
pub fn quoted(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let plain = |b: &u8| !b.is_ascii_whitespace() && !b"\"'\\`$&|;<>()*?[]#~".contains(b) && *b >= b' ';
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return printable(bytes);
    }
    format!("\"{}\"", printable(bytes).replace('"', "\\\""))
}

/// Whether a character can change how the text around it is shown, or is not shown at all.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_hostile(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_nothing_that_steers_a_terminal() {
        let check = |raw: &[u8], shown: &str| assert_eq!(printable(raw), shown, "{raw:?}");
        check(b"/home/jo/.env", "/home/jo/.env");
        check("/tmp/größe/日本".as_bytes(), "/tmp/größe/日本");
        check(b"a\x1b[2Jb", "a\\u{1b}[2Jb");
        check(b"a\nb\r\tc\0", "a\\nb\\r\\tc\\u{0}");
        check("a\u{202e}txt.exe".as_bytes(), "a\\u{202e}txt.exe");
        check("\u{9b}31m\u{200b}\u{feff}".as_bytes(), "\\u{9b}31m\\u{200b}\\u{feff}");
        check(b"a\xff\xfeb", "a\\xff\\xfeb");
        check(br"a\x41", r"a\\x41");
    }

    #[test]
    fn arguments_are_quoted_when_a_shell_user_would() {
        let check = |raw: &str, shown: &str| assert_eq!(quoted(raw), shown);
        check("--flag=1", "--flag=1");
        check("fix the tests", "\"fix the tests\"");
        check("", "\"\"");
        check("say \"hi\"", "\"say \\\"hi\\\"\"");
        check("a\x1bb", "\"a\\u{1b}b\"");
    }

    #[test]
    fn every_escaped_text_is_free_of_hostile_characters() {
        let all: String = ('\0'..=char::MAX).collect();
        assert!(!printable(all).chars().any(is_hostile));
    }
}
