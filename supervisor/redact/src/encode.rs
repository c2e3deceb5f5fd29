//! The written forms of a needle.
//!
//! Each form is a byte string that appears in a stream exactly when the value was written in that
//! form, whatever stands around it. Of base64 and base32 only the characters that the value alone
//! decides are kept: the first and last character may also carry bits of a neighbouring byte.

use std::str::FromStr;

use crate::hit::Encoding;

/// Which written forms of a needle are looked for. The raw form always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encodings(u16);

/// A name that is no encoding's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding `{name}`: use base64, hex, url, json, shell, html, utf16, base32 or reverse")]
pub struct UnknownEncoding {
    /// The name that was given.
    pub name: String,
}

impl Encodings {
    /// Every form that is built.
    pub const ALL: Encodings = Encodings(0x7ff);
    /// The raw form alone.
    pub const RAW: Encodings = Encodings(1);

    /// This set and `encoding`.
    #[must_use]
    pub const fn with(self, encoding: Encoding) -> Encodings {
        Encodings(self.0 | 1 << encoding as u16)
    }

    /// This set and every form in `other`.
    #[must_use]
    pub const fn union(self, other: Encodings) -> Encodings {
        Encodings(self.0 | other.0)
    }

    /// Whether `encoding` is looked for.
    pub const fn contains(self, encoding: Encoding) -> bool {
        self.0 & (1 << encoding as u16) != 0
    }
}

impl Default for Encodings {
    fn default() -> Self {
        Encodings::ALL
    }
}

impl FromStr for Encodings {
    type Err = UnknownEncoding;

    /// One name of the policy file's `redact.encodings`; `base64` means both alphabets.
    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        Ok(match name {
            "raw" => Encodings::RAW,
            "base64" => Encodings::RAW.with(Encoding::Base64).with(Encoding::Base64Url),
            "hex" => Encodings::RAW.with(Encoding::Hex),
            "url" => Encodings::RAW.with(Encoding::Url),
            "json" => Encodings::RAW.with(Encoding::Json),
            "shell" => Encodings::RAW.with(Encoding::Shell),
            "html" => Encodings::RAW.with(Encoding::Html),
            "utf16" => Encodings::RAW.with(Encoding::Utf16),
            "base32" => Encodings::RAW.with(Encoding::Base32),
            "reverse" => Encodings::RAW.with(Encoding::Reverse),
            _ => return Err(UnknownEncoding { name: name.to_owned() }),
        })
    }
}

/// A line of a value of several lines is a needle by itself from this length on: shorter ones are
/// often braces, keywords or separators.
const LINE_MIN: usize = 16;

/// Calls `sink` with each form of `value` that `set` asks for. A form may come twice.
pub(crate) fn expand(value: &[u8], set: Encodings, sink: &mut dyn FnMut(Encoding, &[u8])) {
    forms(value, set, sink);
    if !value.contains(&b'\n') {
        return;
    }
    let lines: Vec<&[u8]> =
        value.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
    for ending in [&b"\n"[..], b"\r\n", b"\r", b" "] {
        forms(&lines.join(ending), if ending == b" " { Encodings::RAW } else { set }, sink);
    }
    for line in lines {
        let line = line.trim_ascii();
        if line.len() >= LINE_MIN && !line.starts_with(b"-----") && crate::vet::refuse(line).is_none() {
            forms(line, set, sink);
        }
    }
}

fn forms(value: &[u8], set: Encodings, sink: &mut dyn FnMut(Encoding, &[u8])) {
    sink(Encoding::Raw, value);
    let mut form = Vec::with_capacity(value.len() * 4 + 8);
    let mut give = |encoding: Encoding, form: &mut Vec<u8>| {
        // A form equal to the value adds nothing; one far shorter than it could be met by chance.
        if form.as_slice() != value && form.len() >= crate::vet::MIN_LEN {
            sink(encoding, form);
        }
        form.fill(0);
        form.clear();
    };
    for skip in 0..3 {
        if !set.contains(Encoding::Base64) && !set.contains(Encoding::Base64Url) {
            break;
        }
        let mut plain = Vec::with_capacity(value.len() * 2);
        bits(value, skip, 6, BASE64, &mut plain);
        if set.contains(Encoding::Base64) {
            form.extend_from_slice(&plain);
            give(Encoding::Base64, &mut form);
            // PHP and some loggers escape the slash of base64 in JSON.
            if plain.contains(&b'/') {
                plain.iter().for_each(|&b| {
                    form.extend_from_slice(if b == b'/' { b"\\/" } else { std::slice::from_ref(&b) })
                });
                give(Encoding::Base64, &mut form);
            }
        }
        // Where the alphabets differ in nothing that the form has, one of them is enough.
        let differs = plain.iter().any(|b| matches!(b, b'+' | b'/'));
        if set.contains(Encoding::Base64Url) && (differs || !set.contains(Encoding::Base64)) {
            form.extend(plain.iter().map(|b| match b {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            }));
            give(Encoding::Base64Url, &mut form);
        }
        crate::literal::wipe(&mut plain);
    }
    if set.contains(Encoding::Hex) {
        for digits in [LOWER, UPPER] {
            let pair = |b: u8| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]];
            each(value, &mut form, pair);
            give(Encoding::Hex, &mut form);
            // As dumps and fingerprints print bytes (`de ad`, `de:ad`), and as languages escape them.
            for between in [b' ', b':'] {
                if between == b' ' && digits == UPPER {
                    continue;
                }
                each(value, &mut form, |b| [pair(b)[0], pair(b)[1], between]);
                form.pop();
                give(Encoding::Hex, &mut form);
            }
            each(value, &mut form, |b| [b'\\', b'x', pair(b)[0], pair(b)[1]]);
            give(Encoding::Hex, &mut form);
        }
        each(value, &mut form, |b| [b'\\', b'0' + (b >> 6), b'0' + (b >> 3 & 7), b'0' + (b & 7)]);
        give(Encoding::Hex, &mut form);
    }
    if set.contains(Encoding::Url) {
        url(value, &mut form, &mut give);
    }
    let printable = |b: &u8| b.is_ascii_graphic() && *b != b'=' || *b == b' ';
    if set.contains(Encoding::Url) && !value.iter().all(printable) {
        // Quoted-printable (RFC 2045), on one line.
        for &byte in value {
            if printable(&byte) {
                form.push(byte);
            } else {
                form.push(b'=');
                hex(byte, UPPER, &mut form);
            }
        }
        give(Encoding::Url, &mut form);
    }
    if set.contains(Encoding::Json) {
        crate::escape::json(value, &mut |form| give(Encoding::Json, form));
    }
    if set.contains(Encoding::Shell) {
        crate::escape::shell(value, &mut |form| give(Encoding::Shell, form));
    }
    if set.contains(Encoding::Html) {
        crate::escape::html(value, &mut |form| give(Encoding::Html, form));
    }
    if set.contains(Encoding::Utf16)
        && let Ok(text) = std::str::from_utf8(value)
    {
        text.encode_utf16().for_each(|u| form.extend_from_slice(&u.to_le_bytes()));
        give(Encoding::Utf16, &mut form);
        text.encode_utf16().for_each(|u| form.extend_from_slice(&u.to_be_bytes()));
        give(Encoding::Utf16, &mut form);
    }
    if set.contains(Encoding::Base32) {
        for skip in 0..5 {
            bits(value, skip, 5, BASE32, &mut form);
            give(Encoding::Base32, &mut form);
        }
    }
    if set.contains(Encoding::Reverse) {
        form.extend(value.iter().rev());
        give(Encoding::Reverse, &mut form);
    }
}

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(crate) const LOWER: &[u8; 16] = b"0123456789abcdef";
pub(crate) const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Fills `form` with what `of` gives for each byte.
fn each<const N: usize>(value: &[u8], form: &mut Vec<u8>, of: impl Fn(u8) -> [u8; N]) {
    form.resize(value.len() * N, 0);
    for (out, &byte) in form.as_chunks_mut::<N>().0.iter_mut().zip(value) {
        *out = of(byte);
    }
}

/// Fills `form` with the characters of `width` bits each that `value` alone decides when `skip` bytes stand
/// before it. `alphabet` has 2^`width` characters.
fn bits(value: &[u8], skip: usize, width: usize, alphabet: &[u8], form: &mut Vec<u8>) {
    // Bits of the value that belong to a character with the bytes before it.
    let first = (width - (skip * 8) % width) % width;
    form.resize((value.len() * 8).saturating_sub(first) / width, 0);
    for (n, out) in form.iter_mut().enumerate() {
        let bit = first + n * width;
        let byte = |at: usize| value.get(at).copied().unwrap_or(0);
        let pair = u16::from_be_bytes([byte(bit / 8), byte(bit / 8 + 1)]);
        *out = alphabet[usize::from(pair >> (16 - width - bit % 8)) & (alphabet.len() - 1)];
    }
}

pub(crate) fn hex(byte: u8, digits: &[u8; 16], form: &mut Vec<u8>) {
    form.push(digits[usize::from(byte >> 4)]);
    form.push(digits[usize::from(byte & 15)]);
}

/// Percent-encoding as the common encoders write it: they differ in what they leave alone.
fn url(value: &[u8], form: &mut Vec<u8>, give: &mut dyn FnMut(Encoding, &mut Vec<u8>)) {
    // RFC 3986 and Python's `quote_plus`, Python's `quote`, JavaScript's `encodeURIComponent`,
    // JavaScript's `encodeURI`, then every byte.
    const KEPT: [&[u8]; 4] = [b"-_.~", b"-_.~/", b"-_.~!'()*", b"-_.~!'()*;/?:@&=+$,#"];
    let stays = |keep: &[u8], b: u8| b.is_ascii_alphanumeric() || keep.contains(&b);
    for digits in [UPPER, LOWER] {
        let pair = |b: u8| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]];
        for keep in KEPT.into_iter().filter(|keep| !value.iter().all(|&b| stays(keep, b))) {
            for space in [&b"%20"[..], b"+"] {
                for &byte in value {
                    match byte {
                        _ if stays(keep, byte) => form.push(byte),
                        b' ' => form.extend_from_slice(space),
                        _ => form.extend([b'%', pair(byte)[0], pair(byte)[1]]),
                    }
                }
                give(Encoding::Url, form);
                if !value.contains(&b' ') {
                    break;
                }
            }
        }
        each(value, form, |b| [b'%', pair(b)[0], pair(b)[1]]);
        give(Encoding::Url, form);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &[u8], set: Encodings) -> Vec<String> {
        let mut got = Vec::new();
        expand(value, set, &mut |_, form| got.push(String::from_utf8_lossy(form).into_owned()));
        got.sort();
        got.dedup();
        got
    }

    #[test]
    fn base64_keeps_what_the_value_decides() {
        // base64("abcdef") = YWJjZGVm; base64("Xabcdef") = WGFiY2RlZg==; base64("XYabcdef") = WFlhYmNkZWY=
        let got = all(b"abcdef", "base64".parse().unwrap());
        assert_eq!(got, ["FiY2RlZ", "YWJjZGVm", "abcdef", "hYmNkZW"]);
    }

    #[test]
    fn base32_keeps_what_the_value_decides() {
        // base32("abcdefgh") = MFRGGZDFMZTWQ===, the last character holds three bits of the value.
        let got = all(b"abcdefgh", "base32".parse().unwrap());
        assert!(got.contains(&"MFRGGZDFMZTW".to_owned()), "{got:?}");
        assert_eq!(got.len(), 6);
    }

    #[test]
    fn bytes_as_dumps_and_languages_write_them() {
        let got = all(b"a/Z=9\xff", "hex".parse().unwrap());
        for form in [
            "61 2f 5a 3d 39 ff",
            "61:2F:5A:3D:39:FF",
            r"\x61\x2f\x5a\x3d\x39\xff",
            r"\141\057\132\075\071\377",
        ] {
            assert!(got.contains(&form.to_owned()), "{form} missing in {got:?}");
        }
        assert!(
            all("a=b\u{f6}cdef".as_bytes(), "url".parse().unwrap()).contains(&"a=3Db=C3=B6cdef".to_owned())
        );
    }

    #[test]
    fn url_forms() {
        let got = all(b"a/b c+d!", "url".parse().unwrap());
        for form in
            ["a%2Fb%20c%2Bd%21", "a%2fb%20c%2bd%21", "a/b%20c%2Bd%21", "a%2Fb+c%2Bd%21", "a%2Fb%20c%2Bd!"]
        {
            assert!(got.contains(&form.to_owned()), "{form} missing in {got:?}");
        }
        assert!(got.contains(&"%61%2F%62%20%63%2B%64%21".to_owned()));
    }

    #[test]
    fn lines_and_endings() {
        let got = all(b"first line of the key\nsecond line of the key", Encodings::RAW);
        assert_eq!(got.len(), 6, "{got:?}");
        for between in ["\n", "\r\n", "\r", " "] {
            assert!(got.contains(&["first line of the key", "second line of the key"].join(between)));
        }
        assert!(got.contains(&"second line of the key".to_owned()));
    }
}
