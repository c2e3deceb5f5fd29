//! Fake secrets, made at run time, and the search for them in what a command printed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

/// A value that exists nowhere else, so that its appearance anywhere is proof.
#[derive(Clone)]
pub(crate) struct Canary {
    /// The name under which it is planted.
    pub(crate) name: &'static str,
    /// The value, prefix included.
    pub(crate) value: String,
}

impl Canary {
    /// `prefix` and `length` random letters and digits.
    pub(crate) fn new(name: &'static str, prefix: &str, length: usize) -> io::Result<Self> {
        Ok(Self { name, value: format!("{prefix}{}", random_word(length)?) })
    }

    /// Whether the value is in `output`, as it is or in base64.
    pub(crate) fn is_in(&self, output: &[u8]) -> bool {
        shown(std::slice::from_ref(self), output) > 0
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canary({})", self.name)
    }
}

/// `length` random letters and digits.
pub(crate) fn random_word(length: usize) -> io::Result<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = vec![0; length];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    // Fakes need to be unlikely, not uniform.
    Ok(random.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect())
}

/// How many of the canaries are in `output`, as they are or in base64 at any of its offsets.
pub(crate) fn shown(canaries: &[Canary], output: &[u8]) -> usize {
    let decoded = decodings(output);
    canaries
        .iter()
        .filter(|canary| {
            let value = canary.value.as_bytes();
            contains(output, value) || decoded.iter().any(|bytes| contains(bytes, value))
        })
        .count()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

/// What `output` says when each stretch of base64 in it (RFC 4648, both alphabets, wrapped or not) is decoded from
/// each of the four places where a group can begin.
fn decodings(output: &[u8]) -> Vec<Vec<u8>> {
    /// A shorter stretch holds no canary.
    const SHORTEST: usize = 16;
    let digits: Vec<Option<u8>> =
        output.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')).map(|byte| digit(*byte)).collect();
    let stretches = digits.split(Option::is_none).filter(|stretch| stretch.len() >= SHORTEST);
    stretches
        .flat_map(|stretch| {
            let values: Vec<u8> = stretch.iter().flatten().copied().collect();
            (0..4).map(move |skip| decode(values.get(skip..).unwrap_or_default()))
        })
        .collect()
}

fn decode(digits: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in digits {
        bits = (bits << 6 | u32::from(*digit)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary() -> Canary {
        Canary { name: "K", value: "kb-canary/0123456789".into() }
    }

    #[test]
    fn a_canary_is_found_as_it_is_and_in_base64_at_each_offset() {
        // printf 'kb-canary/0123456789', 'x…', 'xy…' | base64; the second wrapped as `base64 -w 20` does.
        for text in [
            "before kb-canary/0123456789 after",
            "a2ItY2FuYXJ5LzAxMjM0NTY3ODk=",
            "eGtiLWNhbmFyeS8wMTIz\nNDU2Nzg5\n",
            "eHlrYi1jYW5hcnkvMDEyMzQ1Njc4OQ==",
        ] {
            assert!(canary().is_in(text.as_bytes()), "{text}");
        }
        for text in ["", "kb-canary/012345678", "[REDACTED:K]", "a2ItY2FuYXJ5LzAxMjM0NTY3"] {
            assert!(!canary().is_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn each_canary_counts_once() {
        let other = Canary { name: "L", value: "another-value".into() };
        let output = b"kb-canary/0123456789 kb-canary/0123456789 another-value";
        assert_eq!(shown(&[canary(), other], output), 2);
    }

    #[test]
    fn canaries_differ_and_debug_shows_no_value() {
        let (one, other) =
            (Canary::new("K", "p-", 24).expect("random"), Canary::new("K", "p-", 24).expect("random"));
        assert_ne!(one.value, other.value);
        assert_eq!((one.value.len(), one.value.starts_with("p-")), (26, true));
        assert_eq!(format!("{one:?}"), "Canary(K)");
    }
}
