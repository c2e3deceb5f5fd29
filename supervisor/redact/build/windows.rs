//! For each word the 3-byte windows by which the scan finds it.
//!
//! The scan looks at every second position, so a word needs one window at an even and one at an odd
//! distance from its first byte. Of those it has, the one that is rarest in ordinary text is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

/// Ordinary output of programs, to tell which windows are rare.
const COMMON: &[u8] = include_bytes!("common.txt");

pub(crate) fn render(words: &[(&[u8], bool)], out: &mut String) -> Result<(), Box<dyn Error>> {
    let mut common = vec![0u32; 1 << 15];
    COMMON.windows(3).for_each(|bytes| common[window(bytes)] += 1);
    let weight = |bytes: &[u8]| common[window(bytes)] * 100 + weight(bytes);
    let mut lists: BTreeMap<usize, Vec<(usize, isize)>> = BTreeMap::new();
    for (number, (text, _)) in words.iter().enumerate() {
        for parity in 0..2 {
            let places = (parity..text.len().saturating_sub(2)).step_by(2);
            if let Some(at) = places.min_by_key(|&at| weight(&text[at..at + 3])) {
                lists.entry(window(&text[at..at + 3])).or_default().push((number, at.cast_signed()));
                continue;
            }
            if *text == b"://" {
                // What stands before it is a scheme's last letter or digit.
                let schemes =
                    b"abcdefghijklmnopqrstuvwxyz0123456789".map(|before| window(&[before, text[0], text[1]]));
                for window in BTreeSet::from(schemes) {
                    lists.entry(window).or_default().push((number, -1));
                }
                continue;
            }
            // A word of three bytes seen from its second byte: any byte may follow.
            for next in 0..32 {
                lists.entry(window(&[text[1], text[2], next])).or_default().push((number, 1));
            }
        }
    }
    // List 0 is of the windows that no word has; its gate is never open.
    let mut map = vec![0usize; 1 << 15];
    let (mut gates, mut entries) =
        (vec!["Gate4 { mask: 0, bytes: 1, first: 0, len: 0 }".to_owned()], Vec::new());
    for (window, list) in lists {
        map[window] = gates.len();
        let first = entries.len();
        let (mut all, mut common) = (u32::MAX, None);
        for (word, at) in &list {
            let (mask, bytes) = key(words[*word].0, words[*word].1, *at);
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
    let mut set: Vec<u8> = map.iter().map(|&list| u8::from(list != 0)).collect();
    set.resize(1 << 16, 0);
    map.resize(1 << 16, 0);
    writeln!(out, "pub(crate) static WORD_SET: [u8; {}] = {set:?};", set.len())?;
    writeln!(out, "pub(crate) static WORD_MAP: [u16; {}] = {map:?};", map.len())?;
    writeln!(out, "pub(crate) static GATES: [Gate4; {}] = [{}];", gates.len(), gates.join(", "))?;
    writeln!(
        out,
        "pub(crate) static WORD_ENTRIES: [WordEntry; {}] = [{}];",
        entries.len(),
        entries.join(", ")
    )?;
    Ok(())
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
