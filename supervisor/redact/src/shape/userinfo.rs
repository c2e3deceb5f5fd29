//! `scheme://user:password@host` (RFC 3986, section 3.2.1): the password, or a token in the user's place.

use super::Verdict;
use super::looks::random_value;
use super::reference::is_reference;

/// Longest user and password together, in bytes.
const MAX: usize = 1024;

/// `at` is where `://` begins. The last `@` before the host's end counts, since passwords are pasted
/// into URLs unescaped.
pub(crate) fn judge(text: &[u8], at: usize, eof: bool) -> Verdict {
    if !text[..at].last().is_some_and(u8::is_ascii_alphanumeric) {
        return Verdict::No;
    }
    let begin = at + 3;
    let (mut colon, mut sign) = (None, None);
    let mut pos = begin;
    loop {
        let Some(&byte) = text.get(pos) else {
            if eof {
                break;
            }
            return Verdict::Pending { from: colon.map_or(begin, |c: usize| c + 1) };
        };
        match byte {
            // Behind a password's first characters: it is pasted in as it is. Behind digits, a port ended.
            b'/' | b'?' | b'#' if colon.is_some_and(|c| is_password(text, begin, &text[c + 1..pos])) => {}
            b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'|' | b'^' | 0..=32 | 127 => {
                break;
            }
            b':' if colon.is_none() && sign.is_none() => colon = Some(pos),
            b'@' => sign = Some(pos),
            _ => {}
        }
        pos += 1;
        if pos - begin > MAX {
            return Verdict::No;
        }
    }
    let Some(sign) = sign else { return Verdict::No };
    let Some(colon) = colon else {
        // A token in the user's place: `https://0123456789abcdef@host`.
        let token = random_value(&text[begin..sign], 20, false);
        return if token { Verdict::Span { start: begin, end: sign, open: None } } else { Verdict::No };
    };
    let password = text.get(colon + 1..sign).unwrap_or_default();
    if password.is_empty() || is_reference(password) || is_filler(password) {
        return Verdict::No;
    }
    Verdict::Span { start: colon + 1, end: sign, open: None }
}

/// Whether `part`, between the URL's first colon and a character that a host cannot have, is no port and no
/// part of an address in brackets.
fn is_password(text: &[u8], begin: usize, part: &[u8]) -> bool {
    part.len() >= 3
        && !part.iter().all(u8::is_ascii_digit)
        && !part.contains(&b'@')
        && text.get(begin) != Some(&b'[')
}

/// What documentation writes in place of a password.
fn is_filler(password: &[u8]) -> bool {
    [&b"password"[..], b"passwd", b"pass", b"pwd", b"secret", b"pw", b"p"]
        .iter()
        .any(|word| password.eq_ignore_ascii_case(word))
}
