//! One pass over a buffer that finds where a literal stands and where a rule's word stands.
//!
//! Per 8 bytes of input the pass tests one 8-byte window against the long literals, two 4-byte windows
//! against the short ones and four 3-byte windows, two bytes apart, against the rules' words. Parts
//! that a matcher does not need are compiled out.

use crate::literal::{LONG_BITS, Literals, SHORT_BITS};
use crate::shape::WordEntry;
use crate::shape::context::is_prose;
use crate::shape::table::{GATES, WORD_ENTRIES, WORD_MAP, WORD_SET, WORDS};
use crate::windows::Windows;

/// Zero bytes that must follow the text in the scanned buffer, so that its last bytes are read like
/// all others.
pub(crate) const PAD: usize = 16;

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
    let mut from = 0;
    while from < len {
        // The last block of the text may reach into the padding.
        let until = (from + 8 * TILE).min(len.next_multiple_of(8));
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
                let [a, b, c, d] = lanes(word, u64::from_le_bytes(nexts[number]));
                hit |= WORD_SET[a] | WORD_SET[b] | WORD_SET[c] | WORD_SET[d] != 0;
            }
            noted[count % TILE] = number as u16;
            count = count.wrapping_add(usize::from(hit));
        }
        let noted = &noted[..count];
        if RULES {
            rule_words(&padded[..len], blocks, nexts, from, noted, &mut close, found);
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

/// Eight-byte blocks per round of filtering and comparing.
const TILE: usize = 512;

/// Finds the rules' words in the `noted` ones of `blocks`, the first of which stands at `from`.
#[expect(clippy::cast_possible_truncation, reason = "a tile has 4096 bytes")]
fn rule_words(
    text: &[u8],
    blocks: &[[u8; 8]],
    nexts: &[[u8; 8]],
    from: usize,
    noted: &[u16],
    close: &mut [u32; 4 * TILE],
    found: &mut Vec<Found>,
) {
    // Again without branches: of the windows that are noted few are a word's.
    let mut count = 0usize;
    for number in noted.iter().map(|&number| usize::from(number)) {
        let (block, next) = (blocks[number], nexts[number]);
        let all = u128::from(u64::from_le_bytes(block)) | u128::from(u64::from_le_bytes(next)) << 16;
        for (n, lane) in lanes(u64::from_le_bytes(block), u64::from_le_bytes(next)).into_iter().enumerate() {
            let list = WORD_MAP[lane];
            let gate = &GATES[usize::from(list)];
            close[count % (4 * TILE)] = (8 * number + 2 * n) as u32 | u32::from(list) << 16;
            count = count.wrapping_add(usize::from(low(all >> (16 * n)) & gate.mask == gate.bytes));
        }
    }
    for &near in &close[..count] {
        rule_word((near >> 16) as usize, from + (near & 0xffff) as usize, text, found);
    }
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

fn rule_word(list: usize, at: usize, text: &[u8], found: &mut Vec<Found>) {
    let Some(four) = text.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()) else {
        return short_word(list, at, text, found);
    };
    let four = u32::from_le_bytes(four);
    let (first, len) = (usize::from(GATES[list].first), usize::from(GATES[list].len));
    for entry in &WORD_ENTRIES[first..first + len] {
        if four & entry.mask == entry.bytes {
            stands(entry, at, text, found);
        }
    }
}

/// At the end of the text, where fewer than four bytes follow.
#[cold]
fn short_word(list: usize, at: usize, text: &[u8], found: &mut Vec<Found>) {
    let (first, len) = (usize::from(GATES[list].first), usize::from(GATES[list].len));
    WORD_ENTRIES[first..first + len].iter().for_each(|entry| stands(entry, at, text, found));
}

fn stands(entry: &WordEntry, at: usize, text: &[u8], found: &mut Vec<Found>) {
    let Some(start) = at.checked_add_signed(-isize::from(entry.at)) else { return };
    let word = &WORDS[usize::from(entry.word)];
    let end = start + word.text.len();
    let same = |t: &[u8]| if word.fold { t.eq_ignore_ascii_case(word.text) } else { t == word.text };
    if text.get(start..end).is_some_and(same) && !(word.named && is_prose(text, end)) {
        found.push(Found::Word { word: entry.word, at: start });
    }
}
