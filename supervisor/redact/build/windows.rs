//! For each word the 3-byte windows by which the scan finds it.
//!
//! The scan looks at every second position, so a word needs one window at an even and one at an odd
//! distance from its first byte. Of those it has, the one that is rarest in ordinary text is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

/// Ordinary output of programs, to tell which windows are rare.
const COMMON: &[u8] = include_bytes!("common.txt");

/// Without regard to case, as the second filter sees it.
fn fold(four: &[u8]) -> Vec<u8> {
    four.iter().map(|b| b & 0xdf).collect()
}

/// A word to look for.
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    /// Letters of either case.
    pub(crate) fold: bool,
    /// Which bytes may stand before and behind it.
    pub(crate) before: &'a [bool],
    pub(crate) behind: &'a [bool],
}

impl Text<'_> {
    /// The bytes that may stand at `at`, which may be one before or behind the word.
    fn at(&self, at: isize) -> Vec<u8> {
        let open = |set: &[bool]| (0..=255u8).filter(|&b| set[usize::from(b)]).collect();
        match usize::try_from(at) {
            Err(_) => open(self.before),
            Ok(at) => self.bytes.get(at).map_or_else(|| open(self.behind), |b| vec![*b]),
        }
    }

    /// The windows that may stand from `at` on; none if more than one of their bytes is not the word's.
    fn windows(&self, at: isize) -> Option<BTreeSet<usize>> {
        let known = (at..at + 3).filter(|&at| (0..self.bytes.len().cast_signed()).contains(&at)).count();
        if known < 2 || at < -1 {
            return None;
        }
        let [a, b, c] = [self.at(at), self.at(at + 1), self.at(at + 2)];
        let all = a.iter().flat_map(|&a| b.iter().flat_map(move |&b| [(a, b)])).collect::<Vec<_>>();
        Some(all.iter().flat_map(|&(a, b)| c.iter().map(move |&c| window(&[a, b, c]))).collect())
    }
}

pub(crate) fn render(words: &[Text<'_>], out: &mut String) -> Result<(), Box<dyn Error>> {
    let mut common = vec![0u32; 1 << 15];
    COMMON.windows(3).for_each(|bytes| common[window(bytes)] += 1);
    let mut fours: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    COMMON.windows(4).for_each(|four| *fours.entry(fold(four)).or_default() += 1);
    let rank = |word: &Text<'_>, at: isize| {
        let known = usize::try_from(at).ok().and_then(|at| word.bytes.get(at..at + 3));
        // A byte beyond the word's end may be any: that lets more through.
        known.map_or(10_000, |bytes| common[window(bytes)] * 100 + weight(bytes))
    };
    let rank_four = |word: &Text<'_>, at: isize| {
        let known = usize::try_from(at).ok().and_then(|at| word.bytes.get(at..at + 4));
        known.map_or(10_000, |four| fours.get(&fold(four)).copied().unwrap_or(0) * 400)
    };
    let mut set = vec![0u8; 1 << 15];
    let mut lists: BTreeMap<usize, Vec<(usize, isize)>> = BTreeMap::new();
    for (number, word) in words.iter().enumerate() {
        let len = word.bytes.len().cast_signed();
        for parity in 0..2 {
            // One window that ordinary text does not have, or two side by side.
            let places = || (-parity..len).step_by(2);
            let known = |at: isize| usize::try_from(at).ok().and_then(|at| word.bytes.get(at..at + 3));
            let rare = |at: &isize| known(*at).is_some_and(|bytes| common[window(bytes)] == 0);
            let alone =
                places().filter(|at| word.bytes.len() < 6 && rare(at)).min_by_key(|&at| rank(word, at));
            let pairs = places().filter_map(|at| Some((at, word.windows(at)?, word.windows(at + 2)?)));
            let best =
                pairs.min_by_key(|(at, ..)| rank(word, *at) + rank(word, at + 2) + rank_four(word, *at));
            let (at, first, second) = match (alone, best) {
                (None, Some((at, first, second))) => (at, first, Some(second)),
                (alone, _) => {
                    let at = alone.unwrap_or(-parity);
                    (at, word.windows(at).ok_or("a word has three bytes or more")?, None)
                }
            };
            // Kinds of pairs are kept apart, so that fewer belong together by chance.
            let kind = match &second {
                Some(second) if first.len() + second.len() > 2 => 4,
                _ => 2 * (number % 2),
            };
            for &window in &first {
                lists.entry(window).or_default().push((number, at));
                set[window] |= if second.is_some() { FIRST << kind } else { ALONE };
            }
            second.iter().flatten().for_each(|&window| set[window] |= SECOND << kind);
        }
    }
    let mut four = vec![0u64; 1 << (FOUR_BITS - 6)];
    // List 0 is of the windows that no word has; its gate is never open.
    let mut map = vec![0usize; 1 << 15];
    let (mut gates, mut entries) =
        (vec!["Gate4 { mask: 0, bytes: 1, first: 0, len: 0 }".to_owned()], Vec::new());
    for (window, list) in lists {
        map[window] = gates.len();
        let first = entries.len();
        list.iter().for_each(|&(word, at)| quads(&words[word], at, &mut four));
        let (mut all, mut common) = (u32::MAX, None);
        for (word, at) in &list {
            let (mask, bytes) = key(words[*word].bytes, words[*word].fold, *at);
            all &= mask & !(bytes ^ *common.get_or_insert(bytes));
            entries
                .push(format!("WordEntry {{ word: {word}, at: {at}, mask: {mask:#x}, bytes: {bytes:#x} }}"));
        }
        let bytes = common.unwrap_or_default() & all;
        gates.push(format!(
            "Gate4 {{ mask: {all:#x}, bytes: {bytes:#x}, first: {first}, len: {} }}",
            list.len()
        ));
    }
    set.resize(1 << 16, 0);
    map.resize(1 << 16, 0);
    writeln!(out, "pub(crate) static WORD_SET: [u8; {}] = {set:?};", set.len())?;
    writeln!(out, "pub(crate) static WORD_MAP: [u16; {}] = {map:?};", map.len())?;
    writeln!(out, "pub(crate) static FOUR: [u64; {}] = {four:?};", four.len())?;
    writeln!(out, "pub(crate) static GATES: [Gate4; {}] = [{}];", gates.len(), gates.join(", "))?;
    writeln!(
        out,
        "pub(crate) static WORD_ENTRIES: [WordEntry; {}] = [{}];",
        entries.len(),
        entries.join(", ")
    )?;
    Ok(())
}

/// The first eight bytes of a word, and which of their bits count, as fields of the table.
pub(crate) fn head(text: &[u8], fold: bool) -> String {
    let (mut mask, mut bytes) = ([0u8; 8], [0u8; 8]);
    for (n, &byte) in text.iter().take(8).enumerate() {
        mask[n] = if fold && byte.is_ascii_alphabetic() { 0xdf } else { 0xff };
        bytes[n] = byte & mask[n];
    }
    format!("mask: {:#x}, head: {:#x}", u64::from_le_bytes(mask), u64::from_le_bytes(bytes))
}

/// What the scan's table says of a window: it is a word's by itself, or the first or second of two that
/// have to stand side by side. The latter two come in three kinds.
const ALONE: u8 = 1;
const FIRST: u8 = 2;
const SECOND: u8 = 4;

/// Size of the second filter, as a power of two of bits.
const FOUR_BITS: u32 = 18;

/// Marks all four bytes that may stand from `at` on in a place where `text` stands, without regard to
/// case: the scan's second filter.
fn quads(word: &Text<'_>, at: isize, four: &mut [u64]) {
    let mut all: Vec<[u8; 4]> = vec![[0; 4]];
    for n in 0..4usize {
        let bytes: BTreeSet<u8> =
            word.at(at.saturating_add_unsigned(n)).into_iter().map(|b| b & 0xdf).collect();
        all = all
            .iter()
            .flat_map(|quad| {
                bytes.iter().map(|&b| {
                    let mut quad = *quad;
                    quad[n] = b;
                    quad
                })
            })
            .collect();
    }
    for quad in all {
        let hash = (u32::from_le_bytes(quad) & 0xdfdf_dfdf).wrapping_mul(0x9e37_79b1) >> (32 - FOUR_BITS);
        four[hash as usize / 64] |= 1 << (hash % 64);
    }
}

/// The word's four bytes from `at` on, little endian, and a mask of the bits that must be so.
fn key(text: &[u8], fold: bool, at: isize) -> (u32, u32) {
    let (mut mask, mut bytes) = ([0u8; 4], [0u8; 4]);
    for n in 0..4usize {
        let Some(&byte) = at.checked_add_unsigned(n).and_then(|at| text.get(usize::try_from(at).ok()?))
        else {
            continue;
        };
        mask[n] = if fold && byte.is_ascii_alphabetic() { 0xdf } else { 0xff };
        bytes[n] = byte & mask[n];
    }
    (u32::from_le_bytes(mask), u32::from_le_bytes(bytes))
}

/// The scan's 15-bit number of a window: five bits of each byte.
fn window(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, b| number << 5 | usize::from(b & 31))
}

/// How common a window is in logs and prose, roughly: the sum of log frequencies of the bytes that
/// share their low five bits.
fn weight(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .map(|b| match b & 31 | 96 {
            b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | 96 => 10,
            b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 8,
            b'q' | b'f' | b'g' | b'w' | b'y' | b'b' => 7,
            b'v' | b'x' | b'k' => 6,
            b'z' | b'j' => 4,
            // What shares its bits with `_`, `=` and brackets.
            _ => 3,
        })
        .sum()
}
