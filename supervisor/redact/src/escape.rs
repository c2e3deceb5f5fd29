//! Escaped and quoted forms: JSON, shells and languages, HTML.
//!
//! Writers differ in what they escape; each variant below is one that a common library writes.

use crate::encode::{LOWER, UPPER, hex};

type Give<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

/// What a JSON writer does beyond RFC 8259's duty.
#[derive(Clone, Copy)]
struct Json {
    /// `/` becomes `\/` (PHP).
    slash: bool,
    /// `<`, `>` and `&` become `\u003c` (Go).
    html: bool,
    /// What is not ASCII becomes `\uXXXX` (Python).
    ascii: bool,
    digits: &'static [u8; 16],
}

/// Forms inside a JSON string; the plain one also escaped a second time, as JSON inside JSON.
pub(crate) fn json(value: &[u8], give: Give<'_>) {
    let plain = Json { slash: false, html: false, ascii: false, digits: LOWER };
    let special = value.iter().any(|b| !b.is_ascii_alphanumeric() && !b"-_.~ ".contains(b));
    if !special {
        return;
    }
    // A variant that differs in nothing that the value has is not written twice.
    let has = |of: fn(&u8) -> bool| value.iter().any(of);
    let (slashes, tags) = (has(|b| *b == b'/'), has(|b| matches!(b, b'<' | b'>' | b'&')));
    let (wide, control) = (has(|b| !b.is_ascii()), has(u8::is_ascii_control));
    for (digits, differ) in [(LOWER, true), (UPPER, tags || wide || control)] {
        for (slash, html, ascii) in [
            (false, false, false),
            (true, false, false),
            (false, true, false),
            (false, false, true),
            (true, false, true),
        ] {
            if differ && (!slash || slashes) && (!html || tags) && (!ascii || wide) {
                give(&mut json_once(value, Json { slash, html, ascii, digits }));
            }
        }
    }
    give(&mut json_once(&json_once(value, plain), plain));
}

fn json_once(value: &[u8], how: Json) -> Vec<u8> {
    let mut form = Vec::with_capacity(value.len() * 2);
    let unicode = |unit: u16, form: &mut Vec<u8>| {
        form.extend_from_slice(b"\\u");
        unit.to_be_bytes().into_iter().for_each(|b| hex(b, how.digits, form));
    };
    let byte = |b: u8, form: &mut Vec<u8>| match b {
        b'"' | b'\\' => form.extend([b'\\', b]),
        b'\n' => form.extend_from_slice(b"\\n"),
        b'\r' => form.extend_from_slice(b"\\r"),
        b'\t' => form.extend_from_slice(b"\\t"),
        8 => form.extend_from_slice(b"\\b"),
        12 => form.extend_from_slice(b"\\f"),
        b'/' if how.slash => form.extend_from_slice(b"\\/"),
        b'<' | b'>' | b'&' if how.html => unicode(u16::from(b), form),
        0..=31 => unicode(u16::from(b), form),
        _ => form.push(b),
    };
    match std::str::from_utf8(value) {
        Ok(text) if how.ascii => {
            for c in text.chars() {
                match u8::try_from(c) {
                    Ok(b) if b.is_ascii() => byte(b, &mut form),
                    _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|&u| unicode(u, &mut form)),
                }
            }
        }
        _ => value.iter().for_each(|&b| byte(b, &mut form)),
    }
    form
}

/// Gives `value` with each byte written as `of` writes it, as it is where that writes nothing.
fn replaced(value: &[u8], form: &mut Vec<u8>, give: Give<'_>, of: impl Fn(u8, &mut Vec<u8>)) {
    for &byte in value {
        let before = form.len();
        of(byte, form);
        if form.len() == before {
            form.push(byte);
        }
    }
    give(form);
}

/// Forms inside the quotes of shells, Python, Go and Rust, and behind `printf %q`'s backslashes.
pub(crate) fn shell(value: &[u8], give: Give<'_>) {
    if value.iter().all(|b| b.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(b)) {
        return;
    }
    let control = |b: u8, form: &mut Vec<u8>| match b {
        b'\n' => form.extend_from_slice(b"\\n"),
        b'\r' => form.extend_from_slice(b"\\r"),
        b'\t' => form.extend_from_slice(b"\\t"),
        27 => form.extend_from_slice(b"\\E"),
        _ => {}
    };
    let backslash = |of: &'static [u8]| {
        move |b: u8, form: &mut Vec<u8>| {
            if of.contains(&b) {
                form.extend([b'\\', b]);
            }
        }
    };
    let mut form = Vec::with_capacity(value.len() * 4 + 8);
    let form = &mut form;
    if value.contains(&b'\'') {
        for quote in [&b"'\\''"[..], b"'\"'\"'"] {
            replaced(value, form, give, |b, form| {
                form.extend_from_slice(if b == b'\'' { quote } else { b"" })
            });
        }
    }
    replaced(value, form, give, backslash(b"\"\\$`"));
    replaced(value, form, give, backslash(b"\"\\$`!"));
    // `$'…'`, Python's repr, Go's %q and Rust's Debug.
    for quotes in [&b"'\\"[..], b"\"\\", b"\\"] {
        replaced(value, form, give, |b, form| {
            control(b, form);
            backslash(quotes)(b, form);
        });
    }
    // printf %q and fish.
    let bare = |b: u8| !b.is_ascii_alphanumeric() && b.is_ascii() && !b"-_./:@%+=".contains(&b);
    for comma in [true, false] {
        replaced(value, form, give, |b, form| {
            if bare(b) && (comma || b != b',') {
                form.extend([b'\\', b]);
            }
        });
    }
    let plain = |b: u8| b.is_ascii_graphic() || b == b' ';
    if !value.iter().copied().all(plain) {
        for quotes in [&b"'\\"[..], b"\"\\"] {
            replaced(value, form, give, |b, form| {
                let before = form.len();
                control(b, form);
                if form.len() == before && !plain(b) {
                    form.extend_from_slice(b"\\x");
                    hex(b, LOWER, form);
                }
                backslash(quotes)(b, form);
            });
        }
    }
}

/// Forms with HTML or XML entities, as the common libraries spell the quotes.
pub(crate) fn html(value: &[u8], give: Give<'_>) {
    let has = |b: u8| value.contains(&b);
    let (double, single, slash) = (has(b'"'), has(b'\''), has(b'/'));
    if !double && !single && !slash && !value.iter().any(|b| b"&<>".contains(b)) {
        return;
    }
    let mut form = Vec::with_capacity(value.len() * 2 + 8);
    // A spelling that differs in nothing that the value has is not written twice.
    for (differs, of_double, of_single, of_slash) in [
        (true, "&quot;", "&#39;", "/"),
        (single, "&quot;", "&#x27;", "/"),
        (slash, "&quot;", "&#x27;", "&#x2F;"),
        (single, "&quot;", "&apos;", "/"),
        (single, "&quot;", "'", "/"),
        (double, "&#34;", "&#39;", "/"),
        (double || single, "\"", "'", "/"),
    ] {
        if !differs {
            continue;
        }
        replaced(value, &mut form, give, |b, form| {
            form.extend_from_slice(
                match b {
                    b'&' => "&amp;",
                    b'<' => "&lt;",
                    b'>' => "&gt;",
                    b'"' => of_double,
                    b'\'' => of_single,
                    b'/' => of_slash,
                    _ => "",
                }
                .as_bytes(),
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &str, of: fn(&[u8], Give<'_>)) -> Vec<String> {
        let mut got = Vec::new();
        of(value.as_bytes(), &mut |form| got.push(String::from_utf8(std::mem::take(form)).unwrap()));
        got
    }

    #[track_caller]
    fn check(value: &str, of: fn(&[u8], Give<'_>), wanted: &[&str]) {
        let got = all(value, of);
        for form in wanted {
            assert!(got.iter().any(|g| g == form), "{form} missing in {got:?}");
        }
    }

    #[test]
    fn json_forms() {
        check("a\"b\\c\nd", json, &[r#"a\"b\\c\nd"#, r#"a\\\"b\\\\c\\nd"#]);
        check("a/b<c>", json, &[r"a\/b<c>", r"a/b\u003cc\u003e", r"a/b\u003Cc\u003E"]);
        check("pä\u{1f600}", json, &[r"p\u00e4\ud83d\ude00", r"p\u00E4\uD83D\uDE00"]);
        assert!(all("plain-value_1", json).is_empty());
    }

    #[test]
    fn shell_forms() {
        check("it's $5", shell, &[r"it'\''s $5", r#"it'"'"'s $5"#, r"it's \$5", r"it\'s $5", r"it\'s\ \$5"]);
        check("a\u{1}b", shell, &[r"a\x01b"]);
        assert!(all("plain-value_1", shell).is_empty());
    }

    #[test]
    fn html_forms() {
        check("a&b\"c'd", html, &["a&amp;b&quot;c&#39;d", "a&amp;b&#34;c&#39;d", "a&amp;b&quot;c&#x27;d"]);
    }
}
