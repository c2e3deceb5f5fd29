//! One pass over a buffer that finds where a literal stands and where a rule's word stands.
//!
//! Per 8 bytes of input the pass tests one 8-byte window against the long literals, two 4-byte windows
//! against the short ones and four 3-byte windows (lanes), two bytes apart, against the rules' words: words
//! of six bytes and more have two windows side by side, which ordinary text seldom has. Parts that a
//! matcher does not need are compiled out.

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
    let (long, short) = (!literals.long.is_empty(), !literals.short.is_empty());
    match (long, short, words) {
        (true, true, true) => pass::<true, true, true>(padded, len, literals, found),
        (true, true, false) => pass::<true, true, false>(padded, len, literals, found),
        (true, false, true) => pass::<true, false, true>(padded, len, literals, found),
        (true, false, false) => pass::<true, false, false>(padded, len, literals, found),
        (false, true, true) => pass::<false, true, true>(padded, len, literals, found),
        (false, true, false) => pass::<false, true, false>(padded, len, literals, found),
        (false, false, true) => pass::<false, false, true>(padded, len, literals, found),
        (false, false, false) => {}
    }
}

/// For the four windows that begin at the even bytes of `word`, their 15-bit numbers: the low five bits
/// of each of the three bytes. `next` is the text two bytes further on.
///
/// Five bits tell letters apart without regard to case; other bytes share them with a letter, which the
/// comparison that follows sorts out.
#[inline(always)]
fn lanes(word: u64, next: u64) -> [usize; 4] {
    const LOW: u64 = 0x001f_001f_001f_001f;
    let lanes = word & LOW | (word & LOW << 8) >> 3 | (next & LOW) << 10;
    // The table has 2^16 entries, so that no lane needs a check of its own.
    [0, 16, 32, 48].map(|shift| usize::from((lanes >> shift & 0xffff) as u16))
}

#[inline(always)]
fn test(bitmap: &[u64], bit: usize) -> bool {
    bitmap[bit / 64] >> (bit % 64) & 1 != 0
}

#[expect(clippy::cast_possible_truncation, reason = "a tile has 512 blocks")]
fn pass<const LONG: bool, const SHORT: bool, const RULES: bool>(
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
    let (mut noted, mut close) = ([0u16; TILE], [0u32; 4 * TILE]);
    // What the table says of the last lane of the block before.
    let mut before = 0u64;
    let mut from = 0;
    // One block more than the text has, for the last lane.
    let end = if RULES { len.next_multiple_of(8) + 8 } else { len.next_multiple_of(8) };
    while from < end {
        let until = (from + 8 * TILE).min(end);
        let Some((tile, shifted)) = padded.get(from..until).zip(padded.get(from + 2..until + 2)) else {
            return;
        };
        let (blocks, nexts) = (tile.as_chunks::<8>().0, shifted.as_chunks::<8>().0);
        let nexts = &nexts[..blocks.len()];
        let mut count = 0usize;
        for number in 0..blocks.len() {
            let word = u64::from_le_bytes(blocks[number]);
            let mut hit = false;
            if LONG {
                hit |= test(long, Windows::<LONG_BITS>::bit(word));
            }
            if SHORT {
                hit |= test(short, Windows::<SHORT_BITS>::bit(word & 0xffff_ffff));
                hit |= test(short, Windows::<SHORT_BITS>::bit(word >> 32));
            }
            if RULES {
                let set =
                    lanes(word, u64::from_le_bytes(nexts[number])).map(|lane| u64::from(WORD_SET[lane]));
                // One byte per lane, the one before first.
                let all = before | set[0] << 8 | set[1] << 16 | set[2] << 24 | set[3] << 32;
                hit |= all & ALONE | all << 9 & all & PAIR != 0;
                before = set[3];
            }
            noted[count % TILE] = number as u16;
            count = count.wrapping_add(usize::from(hit));
        }
        let noted = &noted[..count];
        if RULES {
            rule_words(padded, len, from, noted, &mut close, found);
        }
        if LONG || SHORT {
            for &number in noted {
                let number = usize::from(number);
                let (at, word) = (from + 8 * number, u64::from_le_bytes(blocks[number]));
                if LONG {
                    literal(&literals.long, word, at, literals, &padded[..len], found);
                }
                if SHORT {
                    literal(&literals.short, word & 0xffff_ffff, at, literals, &padded[..len], found);
                    literal(&literals.short, word >> 32, at + 4, literals, &padded[..len], found);
                }
            }
        }
        from = until;
    }
}

/// Of five bytes, one per lane, as the table has them: the lowest bit of each but the last says that a
/// window is a word's by itself.
const ALONE: u64 = 0x0101_0101;
/// Of such bytes and the same moved by one lane and one bit: that two windows side by side are a word's.
/// There are three kinds of pairs, and of each the bit of the second is next to that of the first.
const PAIR: u64 = 0x54_5454_5400;

/// Eight-byte blocks per round of filtering and comparing.
const TILE: usize = 512;

/// Finds the rules' words that begin in the last lane before, or in the first three lanes of, the `noted`
/// ones of the blocks from `from` on.
#[expect(clippy::cast_possible_truncation, reason = "a tile has 4096 bytes")]
fn rule_words(
    padded: &[u8],
    len: usize,
    from: usize,
    noted: &[u16],
    close: &mut [u32; 4 * TILE],
    found: &mut Vec<Found>,
) {
    // Again without branches: of the windows that are noted few are a word's.
    let mut count = 0usize;
    for number in noted.iter().map(|&number| usize::from(number)) {
        let at = from + 8 * number;
        // The text from two bytes before the block on; before its beginning there is nothing.
        let all = match padded.get(at.wrapping_sub(2)..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(bytes) => u128::from_le_bytes(*bytes),
            None => padded.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes) << 16),
        };
        let fours = [0, 16, 32, 48, 64].map(|shift| low(all >> shift));
        let lanes = fours.map(|four| four & 31 | (four >> 8 & 31) << 5 | (four >> 16 & 31) << 10);
        let set = lanes.map(|lane| u64::from(WORD_SET[lane as usize & 0xffff]));
        for n in 0..4 {
            let stands = set[n] & ALONE | set[n] << 9 & set[n + 1] << 8 & PAIR;
            // Places count from two bytes before the tile.
            close[count % (4 * TILE)] = (8 * number + 2 * n) as u32 | lanes[n] << 16;
            count = count.wrapping_add(usize::from((stands != 0) & test(&FOUR, quad(fours[n]))));
        }
    }
    for &near in &close[..count] {
        let list = usize::from(WORD_MAP[(near >> 16) as usize]);
        let Some(at) = (from + (near & 0xffff) as usize).checked_sub(2) else { continue };
        rule_word(list, at, padded, len, found);
    }
}

/// The second filter's bit of four bytes of text, without regard to case.
#[inline(always)]
fn quad(four: u32) -> usize {
    ((four & 0xdfdf_dfdf).wrapping_mul(0x9e37_79b1) >> 16) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(wide: u128) -> u32 {
    wide as u32
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
