//! Whether what stands beside a telling name looks like a secret.

use super::between::Join;
use super::entropy;
use super::letters::{is_gibberish, rare_pairs};

/// Values that describe a password: types, states, form texts.
const DESCRIBES: &[&str] = &[
    "string",
    "str",
    "bytes",
    "text",
    "char",
    "varchar",
    "bool",
    "boolean",
    "int",
    "integer",
    "number",
    "object",
    "option",
    "optional",
    "required",
    "hidden",
    "empty",
    "blank",
    "missing",
    "incorrect",
    "invalid",
    "wrong",
    "expired",
    "changed",
    "unchanged",
    "reset",
    "failed",
    "accepted",
    "rejected",
    "mismatch",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "value",
    "input",
    "prompt",
    "field",
    "default",
    "unknown",
    "unset",
    "set",
    "disabled",
    "enabled",
    "yes",
    "no",
    "on",
    "off",
    "ok",
    "any",
    "self",
    "this",
    "env",
    "environment",
    "file",
    "vault",
    "keychain",
    "stdin",
    "ask",
    "same",
    "not",
    "for",
    "the",
    "is",
    "must",
    "cannot",
    "enter",
    "again",
    "type",
    "and",
    "or",
    "to",
    "of",
    "secretstring",
    "sensitive",
    "redacted",
    "masked",
    "omitted",
    "encrypted",
    "options",
    "option",
    "argument",
    "parameter",
    "credentials",
    "plaintext",
    "plain",
    "basic",
    "bearer",
];

pub(super) fn strong_value(value: &[u8], quoted: bool, join: Join) -> bool {
    let describes = DESCRIBES.iter().any(|w| value.eq_ignore_ascii_case(w.as_bytes()));
    // `PWD=/home/jo`: the working directory.
    let path = matches!(value, [b'/' | b'~' | b'.', rest @ ..] if rest.contains(&b'/'))
        || matches!(value, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    let place = value.iter().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-' | b'/'));
    if describes
        || path
        || place && value.len() < 12 && join != Join::Env
        || value.iter().any(|&b| b < 32 && b != b'\t')
        || !quoted && value.windows(2).any(|pair| pair == b"::")
    {
        return false;
    }
    let letters = value.iter().filter(|b| b.is_ascii_alphabetic()).count();
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let others = value.len() - letters - digits;
    match join {
        Join::Env => true,
        // Sentences in quotes are labels: `"password": "Enter your password"`.
        _ if quoted => {
            let label = value.trim_ascii_end().ends_with(b":");
            value.iter().filter(|&&b| b == b' ').count() < 2 && !label && !names_password(value)
        }
        _ if digits == value.len() => digits >= 6,
        _ if value.starts_with(b"_") => false,
        _ if digits > 0 && letters > 0 => !is_code(value),
        // `password: userPassword`, `password = form.password` are code.
        _ if others > 0 => !is_code(value),
        _ if is_gibberish(value) => true,
        _ => letters >= 6 && value.iter().all(u8::is_ascii_lowercase) && join != Join::Element,
    }
}

/// `reset_password_email`, `challengePassword`: a name of something about a password.
fn names_password(value: &[u8]) -> bool {
    let Some(at) = value.windows(8).position(|w| w.eq_ignore_ascii_case(b"password")) else { return false };
    let apart = |b: u8| matches!(b, b'_' | b'-' | b'.');
    let before = at > 0 && (apart(value[at - 1]) || value[at].is_ascii_uppercase());
    let behind = value.get(at + 8).is_some_and(|b| apart(*b) || b.is_ascii_uppercase());
    (before || behind) && value.iter().all(|b| b.is_ascii_alphabetic() || apart(*b))
}

/// A path of names as programs write them: `self.db.password`, `user_password`, `Foo::bar`.
fn is_code(value: &[u8]) -> bool {
    let name = |part: &[u8]| {
        part.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && part.iter().all(|&b| b.is_ascii_alphabetic() || b == b'_')
    };
    value.split(|&b| matches!(b, b'.' | b':')).filter(|p| !p.is_empty()).all(name)
}

/// Whether a value of at least `least` bytes looks made by a machine. A `number` alone may be one where
/// a mark in its place breaks nothing.
pub(super) fn random_value(value: &[u8], least: usize, number: bool) -> bool {
    if value.len() < least
        || !value.iter().all(|&b| b.is_ascii_graphic())
        || value.iter().any(|b| matches!(b, b'(' | b')' | b'{' | b'}' | b'<' | b'>'))
    {
        return false;
    }
    let count = |is: fn(&u8) -> bool| value.iter().filter(|b| is(b)).count();
    let (digits, upper, lower) =
        (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let bits = entropy(value);
    if digits == value.len() {
        return number && value.len() >= 15 && bits >= 2.3;
    }
    if digits > 0 && upper + lower > 0 {
        return bits >= 2.5 && !is_dated(value) && !is_numbered(value);
    }
    let hex = value.len() >= 24 && value.iter().all(u8::is_ascii_hexdigit);
    hex && bits >= 2.0 || (upper + lower) * 5 >= value.len() * 4 && bits >= 3.0 && is_gibberish(value)
}

/// A name of a programming language, or a path of such: `TokenStream2`, `nl80211_key`, `aes256-decrypt.c`.
/// Its letters make words, which made-up characters do not.
pub(super) fn is_name(value: &[u8]) -> bool {
    let kind = |b: u8| match b {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        b'_' | b'-' | b'.' | b':' | b'/' => 0,
        _ => 9,
    };
    if value.iter().any(|&b| kind(b) == 9) || value.len() >= 24 && value.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    // Words begin behind what is no letter, and where capitals begin or end.
    let begins = |pair: &[u8]| !matches!((kind(pair[0]), kind(pair[1])), (1, 1) | (2, 1 | 2));
    let letter = |b: u8| matches!(kind(b), 1 | 2);
    let words = 1 + value.windows(2).filter(|p| begins(p) && letter(p[1])).count();
    let letters = value.iter().filter(|b| letter(**b)).count();
    let numbers = value.windows(2).filter(|p| kind(p[0]) != 3 && kind(p[1]) == 3).count();
    let digits = value.split(|b| kind(*b) != 3).map(<[u8]>::len);
    let (pairs, rare) = rare_pairs(value, |pair| !begins(pair));
    let total = value.iter().filter(|b| kind(**b) == 3).count();
    letter(value[0])
        && total * 3 <= letters.max(6) * 2
        && letters >= 3 * words
        && numbers <= 3
        && digits.max().unwrap_or(0) <= 5
        && rare * 100 < pairs.max(4) * 30
        && !is_gibberish(value)
}

/// A URL that lets in whoever knows it: a part of its path, or its user, looks made by a machine.
pub(super) fn is_secret_url(value: &[u8]) -> bool {
    let Some(begin) = value.windows(3).position(|w| w == b"://") else { return false };
    let scheme = begin > 1 && value[..begin].iter().all(u8::is_ascii_alphanumeric);
    let rest = &value[begin + 3..];
    let host = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let user = rest[..host].iter().position(|b| *b == b'@').map_or(&b""[..], |at| &rest[..at]);
    let random = |part: &[u8]| part.len() >= 16 && random_value(part, 16, false) && !is_name(part);
    let separates = |b: &u8| matches!(b, b'/' | b'?' | b'&' | b'=' | b':' | b'@');
    scheme && (random(user) || rest[host..].split(separates).any(random))
}

/// A number as source code writes it (`0x8004_003A`, `512u32`), or a type (`*mut c_char`).
pub(super) fn is_literal(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let hexadecimal = value.strip_prefix(b"0x").is_some_and(|v| v.len() < 25);
    let digits = value.iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let suffix = digits > 0
        && matches!(value.get(digits), Some(b'u' | b'i' | b'f' | b'L' | b'U' | b'n'))
        && value.len() - digits < 6;
    hexadecimal || suffix || value.starts_with(b"*")
}

/// Words with a number: `worker-12`, `v1.2.3-beta4`, `sha256:…`, `utf8_general_ci`.
fn is_numbered(value: &[u8]) -> bool {
    let parts = || value.split(|b| matches!(b, b'-' | b'_' | b'.' | b':' | b'/')).filter(|p| !p.is_empty());
    let plain = |part: &[u8]| {
        let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let digits = part[letters..].iter().take_while(|b| b.is_ascii_digit()).count();
        letters + digits == part.len()
            && (letters == 0 && digits < 5 || digits < 4 && letters < 16 && one_case(&part[..letters]))
    };
    value.starts_with(b"sha256:")
        || value.starts_with(b"sha512-")
        || value.starts_with(b"sha1-")
        || parts().all(plain)
}

fn one_case(letters: &[u8]) -> bool {
    letters.iter().skip(1).all(u8::is_ascii_lowercase) || letters.iter().all(u8::is_ascii_uppercase)
}

/// A path, a host or a date rather than a secret.
fn is_dated(value: &[u8]) -> bool {
    value.starts_with(b"/") && !value.ends_with(b"=")
        || value.starts_with(b"./")
        || value.starts_with(b"~/")
        || value.windows(3).any(|w| w == b"://")
        || value.len() > 10
            && value[..10]
                .iter()
                .enumerate()
                .all(|(n, b)| if n == 4 || n == 7 { *b == b'-' } else { b.is_ascii_digit() })
}
