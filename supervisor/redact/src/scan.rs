//! Finds where a literal stands in a buffer and where a rule's word stands.
//!
//! One pass tests per 8 bytes of input one 8-byte window against the long literals and two 4-byte windows
//! against the short ones. Another tests four 3-byte windows (lanes), two bytes apart, against the rules'
//! words: words of six bytes and more have two windows side by side, which ordinary text seldom has. A pass
//! for which a matcher has nothing is left out.

use crate::literal::{LONG_BITS, Literals, SHORT_BITS};
use crate::shape::WordEntry;
use crate::shape::context::is_prose;
use crate::shape::table::{FOUR, GATES, WORD_ENTRIES, WORD_MAP, WORD_SET, WORDS};
use crate::windows::Windows;

/// Zero bytes that must follow the text in the scanned buffer, so that its last bytes are read like
/// all others.
pub(crate) const PAD: usize = 32;

/// Something that stands in the text, compared byte for byte.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    Literal { number: u32, at: usize },
    Word { word: u16, at: usize },
}

/// Appends what stands in `padded[..len]`. `padded` is the text and [`PAD`] bytes that are ignored.
pub(crate) fn scan(padded: &[u8], len: usize, literals: &Literals, words: bool, found: &mut Vec<Found>) {
    if words {
        rule_words(padded, len, found);
    }
    match (!literals.long.is_empty(), !literals.short.is_empty()) {
        (true, true) => needles::<true, true>(padded, len, literals, found),
        (true, false) => needles::<true, false>(padded, len, literals, found),
        (false, true) => needles::<false, true>(padded, len, literals, found),
        (false, false) => {}
    }
}

#[inline(always)]
fn test(bitmap: &[u64], bit: usize) -> bool {
    bitmap[bit / 64] >> (bit % 64) & 1 != 0
}

#[expect(clippy::cast_possible_truncation, reason = "a tile has 512 blocks")]
fn needles<const LONG: bool, const SHORT: bool>(
    padded: &[u8],
    len: usize,
    literals: &Literals,
    found: &mut Vec<Found>,
) {
    // Slices of a length that the compiler knows to cover every index of `test`.
    let long: &[u64; 1 << (LONG_BITS - 6)] =
        literals.long.bitmap().try_into().unwrap_or(&[0; 1 << (LONG_BITS - 6)]);
    let short: &[u64; 1 << (SHORT_BITS - 6)] =
        literals.short.bitmap().try_into().unwrap_or(&[0; 1 << (SHORT_BITS - 6)]);
    // Places that the filter lets through are noted without a branch, then compared: a branch here
    // would be mispredicted at each of them, which costs more than the comparison.
    let mut noted = [0u16; BLOCKS];
    let blocks = padded[..len.next_multiple_of(8).min(padded.len())].as_chunks::<8>().0;
    for (tile, blocks) in blocks.chunks(BLOCKS).enumerate() {
        let mut count = 0usize;
        for (number, block) in blocks.iter().enumerate() {
            let word = u64::from_le_bytes(*block);
            let mut hit = false;
            if LONG {
                hit |= test(long, Windows::<LONG_BITS>::bit(word));
            }
            if SHORT {
                hit |= test(short, Windows::<SHORT_BITS>::bit(word & 0xffff_ffff));
                hit |= test(short, Windows::<SHORT_BITS>::bit(word >> 32));
            }
            noted[count % BLOCKS] = number as u16;
            count = count.wrapping_add(usize::from(hit));
        }
        for &number in &noted[..count] {
            let number = usize::from(number);
            let (at, word) = (8 * (tile * BLOCKS + number), u64::from_le_bytes(blocks[number]));
            if LONG {
                literal(&literals.long, word, at, literals, &padded[..len], found);
            }
            if SHORT {
                literal(&literals.short, word & 0xffff_ffff, at, literals, &padded[..len], found);
                literal(&literals.short, word >> 32, at + 4, literals, &padded[..len], found);
            }
        }
    }
}

/// Eight-byte blocks per round of filtering and comparing.
const BLOCKS: usize = 512;
/// Lanes per round: windows that begin at every second byte.
const LANES: usize = 2048;

/// What the table says of a lane: its lowest bit that the window is a word's by itself.
const ALONE: u8 = 1;
/// Of what it says of one lane, moved by one bit, and of the next lane: that the two are a word's side by
/// side. There are three kinds of pairs, and of each the bit of the second is next to that of the first.
const PAIR: u8 = 0x54;

/// Finds the rules' words, in steps that each do one thing to a whole tile: number the windows, look the
/// numbers up, join neighbours, note which joined. All but the second are done to many lanes at a time.
#[expect(clippy::cast_possible_truncation, reason = "a tile has 2048 lanes")]
fn rule_words(padded: &[u8], len: usize, found: &mut Vec<Found>) {
    let mut numbers = [0u16; LANES + 1];
    let mut set = [0u8; LANES + 1];
    let mut joined = [0u8; LANES];
    let mut noted = [0u16; LANES / 8];
    let mut close = [0u32; LANES];
    let mut from = 0;
    while from < len {
        // The window after the last reads up to five bytes behind the text.
        let lanes = (len - from).div_ceil(2).next_multiple_of(8).min(LANES);
        let Some(tile) = padded.get(from..from + 2 * lanes + 4) else { return };
        let pairs = tile.as_chunks::<2>().0;
        let (numbers, set, joined) = (&mut numbers[..=lanes], &mut set[..=lanes], &mut joined[..lanes]);
        for ((number, first), next) in numbers.iter_mut().zip(pairs).zip(&pairs[1..]) {
            // The low five bits of each byte tell letters apart without regard to case; other bytes share
            // them with a letter, which the comparison that follows sorts out.
            let (first, next) = (u16::from_le_bytes(*first), u16::from_le_bytes(*next));
            *number = first & 0x1f | first >> 3 & 0x3e0 | (next & 0x1f) << 10;
        }
        for (set, number) in set.iter_mut().zip(&*numbers) {
            *set = WORD_SET[usize::from(*number)];
        }
        for ((joined, first), second) in joined.iter_mut().zip(&*set).zip(&set[1..]) {
            *joined = first & ALONE | first << 1 & second & PAIR;
        }
        // Places are noted without a branch: it would be mispredicted at each of them.
        let mut count = 0usize;
        let eights = joined.as_chunks::<8>().0;
        for (number, eight) in eights.iter().enumerate() {
            noted[count % (LANES / 8)] = number as u16;
            count = count.wrapping_add(usize::from(u64::from_le_bytes(*eight) != 0));
        }
        let mut near = 0usize;
        for &number in &noted[..count] {
            let mut left = u64::from_le_bytes(eights[usize::from(number)]);
            while left != 0 {
                let bit = left.trailing_zeros() & 56;
                left &= !(0xff << bit);
                let lane = 8 * usize::from(number) + bit as usize / 8;
                close[near % LANES] = lane as u32;
                near = near.wrapping_add(usize::from(test(&FOUR, quad(four(tile, 2 * lane)))));
            }
        }
        for &lane in &close[..near] {
            let list = usize::from(WORD_MAP[usize::from(numbers[lane as usize % (LANES + 1)])]);
            rule_word(list, from + 2 * lane as usize, padded, len, found);
        }
        from += 2 * lanes;
    }
}

/// The four bytes from `at` on, which there are.
#[inline(always)]
fn four(tile: &[u8], at: usize) -> u32 {
    tile.get(at..at + 4).and_then(|four| four.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

/// The second filter's bit of four bytes of text, without regard to case.
#[inline(always)]
fn quad(four: u32) -> usize {
    ((four & 0xdfdf_dfdf).wrapping_mul(0x9e37_79b1) >> 14) as usize
}

fn literal<const BITS: u32>(
    windows: &Windows<BITS>,
    window: u64,
    at: usize,
    literals: &Literals,
    text: &[u8],
    found: &mut Vec<Found>,
) {
    if !test(windows.bitmap(), Windows::<BITS>::bit(window)) {
        return;
    }
    windows.each(window, |number, phase| {
        if let Some(at) = literals.stands(number, phase, text, at) {
            found.push(Found::Literal { number, at });
        }
    });
}

fn rule_word(list: usize, at: usize, padded: &[u8], len: usize, found: &mut Vec<Found>) {
    let Some(four) = padded.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()) else { return };
    let (four, gate) = (u32::from_le_bytes(four), &GATES[list]);
    if four & gate.mask != gate.bytes {
        return;
    }
    let (first, count) = (usize::from(gate.first), usize::from(gate.len));
    for entry in &WORD_ENTRIES[first..first + count] {
        if four & entry.mask == entry.bytes {
            stands(entry, at, padded, len, found);
        }
    }
}

fn stands(entry: &WordEntry, at: usize, padded: &[u8], len: usize, found: &mut Vec<Found>) {
    let Some(start) = at.checked_add_signed(-isize::from(entry.at)) else { return };
    let word = &WORDS[usize::from(entry.word)];
    let end = start + word.text.len();
    let Some(head) = padded.get(start..start + 8).and_then(|head| <[u8; 8]>::try_from(head).ok()) else {
        return;
    };
    if u64::from_le_bytes(head) & word.mask != word.head || end > len {
        return;
    }
    let same = |t: &[u8]| if word.fold { t.eq_ignore_ascii_case(word.text) } else { t == word.text };
    let rest = word.text.len() <= 8 || same(&padded[start..end]);
    if rest && !(word.named && is_prose(&padded[..len], end)) {
        found.push(Found::Word { word: entry.word, at: start });
    }
}
