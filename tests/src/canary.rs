#![forbid(unsafe_code)]
//! Values that exist nowhere else, and the search for them.

use std::fs::File;
use std::io::Read;

/// A made-up secret, random for each test.
#[derive(Debug, Clone)]
pub struct Canary {
    /// A variable's name, or a path below the home.
    pub name: &'static str,
    /// 32 letters and digits.
    pub value: String,
}

/// So many bytes of a canary in a row are a leak. Shorter pieces turn up by chance.
const WINDOW: usize = 12;

impl Canary {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, value: random(32) }
    }

    /// Whether a piece of the value stands in `bytes`.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        shares_window(self.value.as_bytes(), bytes)
    }
}

/// `length` random letters and digits.
pub(crate) fn random(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789xy";
    let mut bytes = vec![0; length];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).expect("random bytes");
    bytes.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

/// Whether any [`WINDOW`] bytes of `needle` stand in `hay`; all of it, if it is shorter.
pub(crate) fn shares_window(needle: &[u8], hay: &[u8]) -> bool {
    needle.windows(WINDOW.min(needle.len()).max(1)).any(|window| contains(hay, window))
}

/// Whether `needle` stands in `hay`.
#[must_use]
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    let mut rest = hay;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_found_and_a_crumb_is_not() {
        let canary = Canary { name: "X", value: "0123456789abcdefghijABCDEFGHIJ!?".to_owned() };
        assert!(canary.is_in(b"..0123456789abcdefghijABCDEFGHIJ!?.."));
        assert!(canary.is_in(b"cut: 456789abcdef"));
        assert!(!canary.is_in(b"cut: 456789abcde"));
        assert!(!canary.is_in(b""));
    }

    #[test]
    fn two_canaries_differ() {
        assert_ne!(Canary::new("A").value, Canary::new("A").value);
        assert_eq!(random(32).len(), 32);
    }
}
