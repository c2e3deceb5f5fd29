//! For each word the 3-byte windows by which the scan finds it.
//!
//! The scan looks at every second position, so a word needs one window at an even and one at an odd
//! distance from its first byte. Of those it has, the one that is rarest in ordinary text is taken.

use std::error::Error;
use std::fmt::Write as _;

const BITS: usize = 1 << 16;

pub(crate) fn render(words: &[&[u8]], out: &mut String) -> Result<(), Box<dyn Error>> {
    let mut entries = Vec::new();
    for (number, text) in words.iter().enumerate() {
        for parity in 0..2 {
            let best =
                (parity..text.len().saturating_sub(2)).step_by(2).min_by_key(|&at| weight(&text[at..at + 3]));
            if let Some(at) = best {
                entries.push((window([text[at], text[at + 1], text[at + 2]]), number, at));
                continue;
            }
            // A word of three bytes seen from its second byte: any byte may follow.
            let mut nexts: Vec<u32> = (0..=255).map(|next| window([text[1], text[2], next])).collect();
            nexts.sort_unstable();
            nexts.dedup();
            entries.extend(nexts.into_iter().map(|window| (window, number, 1)));
        }
    }
    let mut bits = vec![0u64; BITS / 64];
    let mut slots = vec![(0u32, 0usize, 0usize); (entries.len() * 3).next_power_of_two()];
    for &(window, word, at) in &entries {
        let bit = (window.wrapping_mul(0x9e37_79b1) >> 16) as usize;
        bits[bit / 64] |= 1 << (bit % 64);
        let mut slot = (window.wrapping_mul(0x85eb_ca6b) >> 16) as usize % slots.len();
        while slots[slot].0 != 0 {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = (window, word, at);
    }
    writeln!(out, "pub(crate) static WORD_BITS: [u64; {}] = {bits:?};", bits.len())?;
    writeln!(out, "pub(crate) static WORD_SLOTS: [WordSlot; {}] = [", slots.len())?;
    for (window, word, at) in slots {
        writeln!(out, "    WordSlot {{ window: {window}, word: {word}, at: {at} }},")?;
    }
    writeln!(out, "];")?;
    Ok(())
}

/// Case folded as the scan folds.
fn window(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) | 0x0020_2020
}

/// How common the bytes are in logs and prose, roughly: the sum of log frequencies.
fn weight(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .map(|b| match b.to_ascii_lowercase() {
            b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' => 10,
            b'0' | b'1' | b'h' | b'l' | b'd' | b'c' | b'u' | b'm' => 8,
            b'2'..=b'9' | b'f' | b'p' | b'g' | b'w' | b'y' | b'b' | b'-' | b'/' | b'.' | b':' => 7,
            b'v' | b'k' | b'_' | b'=' => 5,
            b'x' | b'j' | b'q' | b'z' => 3,
            _ => 4,
        })
        .sum()
}
