//! Character classes of the pattern language. The build script reads this file too.

/// Names of the classes; a class's number is its place.
pub(crate) const NAMES: &[&str] = &[
    "digit", "lower", "upper", "alpha", "alnum", "hex", "HEX", "xdigit", "base32", "base64", "b64url",
    "b64any", "word", "space", "jwt", "token68", "bech32", "path", "graph", "hash",
];

/// Bit n of entry b: byte b belongs to class n.
static TABLE: [u32; 256] = table();

/// Whether `byte` belongs to the class of number `class`.
#[inline]
pub(crate) fn has(class: u8, byte: u8) -> bool {
    TABLE[byte as usize] >> class & 1 != 0
}

const fn member(class: usize, b: u8) -> bool {
    let alnum = b.is_ascii_alphanumeric();
    match class {
        0 => b.is_ascii_digit(),
        1 => b.is_ascii_lowercase(),
        2 => b.is_ascii_uppercase(),
        3 => b.is_ascii_alphabetic(),
        4 => alnum,
        5 => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        6 => matches!(b, b'0'..=b'9' | b'A'..=b'F'),
        7 => b.is_ascii_hexdigit(),
        8 => matches!(b, b'A'..=b'Z' | b'2'..=b'7'),
        9 => alnum || matches!(b, b'+' | b'/' | b'='),
        10 => alnum || matches!(b, b'-' | b'_'),
        11 => alnum || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_'),
        12 => alnum || b == b'_',
        13 => matches!(b, b' ' | b'\t'),
        14 => alnum || matches!(b, b'-' | b'_' | b'.'),
        // RFC 6750's b64token.
        15 => alnum || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'='),
        16 => {
            matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                && !matches!(b, b'1' | b'b' | b'B' | b'i' | b'I' | b'o' | b'O')
        }
        17 => {
            alnum || matches!(b, b'-' | b'_' | b'.' | b'/' | b'%' | b'=' | b'?' | b'&' | b'~' | b':' | b'@')
        }
        18 => {
            b.is_ascii_graphic()
                && !matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b',' | b';' | b')' | b'}' | b']')
        }
        // crypt(5) and the PHC string format.
        19 => alnum || matches!(b, b'.' | b'/' | b'+' | b'='),
        _ => false,
    }
}

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0u8;
    loop {
        let mut class = 0;
        while class < NAMES.len() {
            if member(class, byte) {
                table[byte as usize] |= 1 << class;
            }
            class += 1;
        }
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}
