#![forbid(unsafe_code)]
//! Values that exist nowhere else, and the search for them.

use std::collections::HashSet;
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
    Finder::new([needle]).is_in(hay)
}

/// Looks for pieces of several values in one pass: outputs and dumps of many megabytes are searched.
pub(crate) struct Finder {
    /// Which pairs of bytes a piece may begin with.
    begins: Vec<bool>,
    pieces: HashSet<Vec<u8>>,
    lengths: Vec<usize>,
}

impl Finder {
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut finder = Self { begins: vec![false; 1 << 16], pieces: HashSet::new(), lengths: Vec::new() };
        for value in values.into_iter().filter(|value| value.len() > 1) {
            let length = WINDOW.min(value.len());
            for piece in value.windows(length) {
                finder.begins[pair(piece)] = true;
                finder.pieces.insert(piece.to_vec());
            }
            if !finder.lengths.contains(&length) {
                finder.lengths.push(length);
            }
        }
        finder
    }

    pub(crate) fn is_in(&self, hay: &[u8]) -> bool {
        let starts = (0..hay.len().saturating_sub(1)).filter(|at| self.begins[pair(&hay[*at..])]);
        let mut pieces =
            starts.flat_map(|at| self.lengths.iter().filter_map(move |length| hay.get(at..at + length)));
        pieces.any(|piece| self.pieces.contains(piece))
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
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
