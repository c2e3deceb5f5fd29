//! Where the strings and bare values of a JSON text (RFC 8259) stand, and what a string stands for.

/// Deepest nesting that is read; what is deeper counts as text.
const DEPTH: usize = 128;

/// A key, a string or a bare value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Of a string without its quotes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// It is the value of a member of the outermost object; the place of its key in the list.
    pub(super) member: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    /// With escapes in it or without.
    String {
        escaped: bool,
    },
    /// A number, `true`, `false` or `null`.
    Bare,
}

/// The tokens of `text`, in order; `None` if it is no JSON value with nothing but blanks around it.
pub(super) fn tokens(text: &[u8]) -> Option<Vec<Token>> {
    let mut reader = Reader { text, at: 0, tokens: Vec::new() };
    reader.blanks();
    reader.value(0, None)?;
    reader.blanks();
    (reader.at == text.len()).then_some(reader.tokens)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize, member: Option<usize>) -> Option<()> {
        match self.peek()? {
            _ if depth > DEPTH => None,
            b'{' => self.list(b'}', depth),
            b'[' => self.list(b']', depth),
            b'"' => self.string(false, member),
            _ => self.bare(member),
        }
    }

    fn list(&mut self, close: u8, depth: usize) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.eat(close).is_some() {
            return Some(());
        }
        loop {
            self.blanks();
            let mut member = None;
            if close == b'}' {
                member = (depth == 0).then_some(self.tokens.len());
                self.string(true, None)?;
                self.blanks();
                self.eat(b':')?;
                self.blanks();
            }
            self.value(depth + 1, member)?;
            self.blanks();
            if self.eat(close).is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
    }

    fn string(&mut self, key: bool, member: Option<usize>) -> Option<()> {
        self.eat(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                    let digits = match *self.text.get(self.at - 1)? {
                        b'u' => 4,
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
                        _ => return None,
                    };
                    let hex = self.text.get(self.at..self.at + digits)?;
                    if !hex.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += digits;
                }
                0..=31 => return None,
                _ => self.at += 1,
            }
        }
        let kind = if key { Kind::Key } else { Kind::String { escaped } };
        self.tokens.push(Token { start, end: self.at, kind, member });
        self.eat(b'"')
    }

    fn bare(&mut self, member: Option<usize>) -> Option<()> {
        let rest = &self.text[self.at..];
        let is = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let len = rest.iter().take_while(|b| is(b)).count();
        let word = &rest[..len];
        let number = std::str::from_utf8(word).is_ok_and(|w| w.parse::<f64>().is_ok())
            && word.iter().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
        if !number && !matches!(word, b"true" | b"false" | b"null") {
            return None;
        }
        let (start, end) = (self.at, self.at + len);
        self.tokens.push(Token { start, end, kind: Kind::Bare, member });
        self.at = end;
        Some(())
    }
}

/// What a string's content stands for, and for each of its bytes where it comes from; one more place than
/// bytes, the last being the content's length.
pub(super) fn decode(content: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut from) = (Vec::with_capacity(content.len()), Vec::with_capacity(content.len() + 1));
    let mut at = 0;
    while let Some(&byte) = content.get(at) {
        let start = at;
        let mut utf8 = [0; 4];
        let one: &[u8] = if byte == b'\\' {
            at += 2;
            match content.get(start + 1) {
                Some(b'u') => {
                    let unit = |at: usize| {
                        let digits = content.get(at..at + 4).and_then(|d| std::str::from_utf8(d).ok())?;
                        u16::from_str_radix(digits, 16).ok()
                    };
                    let first = unit(at).unwrap_or(0xfffd);
                    at += 4;
                    let second = (content.get(at..at + 2) == Some(b"\\u")).then(|| unit(at + 2)).flatten();
                    let pair = [first, second.unwrap_or(0)];
                    let high = (0xd800..0xdc00).contains(&first) && second.is_some();
                    let c = char::decode_utf16(pair).next().and_then(Result::ok);
                    if high && c.is_some() {
                        at += 6;
                    }
                    c.unwrap_or('\u{fffd}').encode_utf8(&mut utf8).as_bytes()
                }
                Some(b'n') => b"\n",
                Some(b'r') => b"\r",
                Some(b't') => b"\t",
                Some(b'b') => b"\x08",
                Some(b'f') => b"\x0c",
                _ => content.get(start + 1..start + 2).unwrap_or_default(),
            }
        } else {
            at += 1;
            &content[start..at]
        };
        bytes.extend_from_slice(one);
        from.extend(one.iter().map(|_| start));
    }
    from.push(content.len());
    (bytes, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_no_json() {
        for text in ["{}", "[]", " {\"a\": [1, -2.5e3, true, null, \"x\\u00e4\\n\"]} ", "\"s\"", "0"] {
            assert!(tokens(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "",
            "{",
            "{\"a\"}",
            "[1,]",
            "{\"a\":1} x",
            "\"\\x\"",
            "\"\\u12\"",
            "nul",
            "\"a\nb\"",
            "inf",
            "[info] x",
        ] {
            assert!(tokens(text.as_bytes()).is_none(), "{text}");
        }
        assert!(tokens("[".repeat(100_000).as_bytes()).is_none());
    }

    #[test]
    fn a_string_decoded_with_its_places() {
        let (bytes, from) = decode(br#"a\u00e4\n\ud83d\ude00\/"#);
        assert_eq!(bytes, "a\u{e4}\n\u{1f600}/".as_bytes());
        assert_eq!(from, [0, 1, 1, 7, 9, 9, 9, 9, 21, 23]);
    }
}
