//! Bytes that are nearly always text: a JSON string when they are UTF-8, else base64.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use serde::{Deserialize, Serialize};

/// A path or an argument: `"text"` or `{"bytes": "base64"}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Bytes {
    Text(String),
    Raw { bytes: String },
}

impl<T: AsRef<OsStr>> From<&T> for Bytes {
    fn from(raw: &T) -> Self {
        let raw = raw.as_ref();
        match raw.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Raw { bytes: to_base64(raw.as_bytes()) },
        }
    }
}

impl Bytes {
    /// The bytes again; `None` when they are no base64.
    pub(super) fn parse(self) -> Option<OsString> {
        match self {
            Self::Text(text) => Some(OsString::from(text)),
            Self::Raw { bytes } => from_base64(&bytes).map(OsString::from_vec),
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4, padded.
fn to_base64(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len().div_ceil(3) * 4);
    for group in raw.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4_usize {
            let sextet = usize::try_from(bits >> (18 - 6 * place) & 63).ok();
            match sextet.and_then(|sextet| ALPHABET.get(sextet)) {
                Some(letter) if place <= group.len() => out.push(char::from(*letter)),
                _ => out.push('='),
            }
        }
    }
    out
}

/// The reverse; `None` for what [`to_base64`] does not write.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        let letters = group.iter().take_while(|b| **b != b'=').count();
        let mut bits = 0_u32;
        for letter in group.iter().take(letters) {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|a| a == letter)?).ok()?;
        }
        bits <<= 6 * (4_usize.saturating_sub(letters));
        let [_, bytes @ ..] = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(..letters.saturating_sub(1))?);
    }
    // One spelling only: no missing padding, no stray bits, nothing after the padding.
    (to_base64(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let check = |raw: &[u8], text: &str| {
            assert_eq!(to_base64(raw), text);
            assert_eq!(from_base64(text).as_deref(), Some(raw));
        };
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(b"foob", "Zm9vYg==");
        check(b"fooba", "Zm9vYmE=");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xfb, 0xff, 0xfe], "+//+");
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "Z!==", "====", "=Zg=", "Zm9v\n"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }
}
