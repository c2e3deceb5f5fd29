//! `scheme://user:password@host` (RFC 3986, section 3.2.1): the password.

use super::{Verdict, context};

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
            return Verdict::Pending { from: colon.map_or(text.len(), |c: usize| c + 1) };
        };
        match byte {
            b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'|' | b'^' | 0..=32 | 127 => {
                break;
            }
            b':' if colon.is_none() => colon = Some(pos),
            b'@' => sign = Some(pos),
            _ => {}
        }
        pos += 1;
        // Before the colon nothing is held, so the reach of a shape's words bounds the user's name.
        if pos - begin > if colon.is_some() { MAX } else { super::REACH - 3 } {
            break;
        }
    }
    let (Some(colon), Some(sign)) = (colon, sign) else { return Verdict::No };
    let password = text.get(colon + 1..sign).unwrap_or_default();
    if password.is_empty() || context::is_reference(password) || is_filler(password) {
        return Verdict::No;
    }
    Verdict::Span { start: colon + 1, end: sign, open: None }
}

/// What documentation writes in place of a password.
fn is_filler(password: &[u8]) -> bool {
    [&b"password"[..], b"passwd", b"pass", b"pwd", b"secret", b"pw", b"p"]
        .iter()
        .any(|word| password.eq_ignore_ascii_case(word))
}
