//! Whether letters make words.

/// Pairs of letters that follow each other in words and names, of any language of programs: bit n of entry m
/// is the nth letter behind the mth. They are nine in ten of all pairs in such words, and four in ten of all
/// pairs there are.
const PAIRS: [u32; 26] = [
    0x1be_bd6f, 0x016_4915, 0x01e_cd9d, 0x016_493f, 0x1ef_f97f, 0x01e_493d, 0x016_6991, 0x008_4111,
    0x22e_f87f, 0x000_0000, 0x004_0111, 0x11c_491d, 0x014_d113, 0x03c_6d7d, 0x07e_f96f, 0x01e_c991,
    0x010_0000, 0x11e_fd5d, 0x11c_ddb5, 0x11e_d9bd, 0x00e_b917, 0x000_0111, 0x002_0111, 0x008_8000,
    0x004_8000, 0x000_0010,
];

/// Fewer letters say little.
const LEAST: usize = 15;

/// Whether at least 35 % of the pairs of letters in `value` are such as words seldom have, of at least 15
/// pairs. That is so for one name in two hundred, and for all but one in twenty made-up texts.
pub(super) fn is_gibberish(value: &[u8]) -> bool {
    let (pairs, rare) = rare_pairs(value, |_| true);
    // A row of the alphabet is no word either.
    let row = value.windows(2).fold((0u32, 0), |(now, most), pair| {
        let now =
            if pair[1].is_ascii_alphabetic() && pair[1].wrapping_sub(pair[0]) == 1 { now + 1 } else { 0 };
        (now, most.max(now))
    });
    pairs >= LEAST && (rare * 100 >= pairs * 35 || row.1 >= 8)
}

/// The number of pairs of letters of which `counts` is true, and of those that words seldom have.
pub(super) fn rare_pairs(value: &[u8], counts: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let (mut pairs, mut rare) = (0, 0);
    for pair in value.windows(2) {
        if let [a, b] = *pair
            && a.is_ascii_alphabetic()
            && b.is_ascii_alphabetic()
            && counts(pair)
        {
            pairs += 1;
            let row = PAIRS[usize::from(a.to_ascii_lowercase() - b'a')];
            rare += usize::from(row >> (b.to_ascii_lowercase() - b'a') & 1 == 0);
        }
    }
    (pairs, rare)
}

#[cfg(test)]
mod tests {
    use super::is_gibberish;

    #[test]
    fn words_and_noise() {
        for word in ["configurationManagerFactory", "get_database_connection_string", "unverwechselbarkeit"] {
            assert!(!is_gibberish(word.as_bytes()), "{word}");
        }
        for noise in ["qzkvbxwpmtrhgfdc", "XkQmWbTzRvHpLcJdNf", "wvutnmlkjqpzxvbrt"] {
            assert!(is_gibberish(noise.as_bytes()), "{noise}");
        }
        assert!(!is_gibberish(b"xqzkv"), "too short to say");
    }
}
