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
    String,
    /// A number, `true`, `false` or `null`.
    Bare,
}

/// The tokens of `text`, in order; `None` if it is no JSON value with nothing but blanks around it.
pub(super) fn tokens(text: &[u8]) -> Option<Vec<Token>> {
    let mut reader = Reader { text, at: 0, tokens: Vec::new(), cut: None };
    reader.blanks();
    reader.value(0, None)?;
    reader.blanks();
    (reader.at == text.len()).then_some(reader.tokens)
}

/// The tokens of a JSON value that is whole, as [`tokens`] has them, or that the end of `text` cuts off: then the last
/// one as far as it goes. `None` if `text` cannot be the beginning of a JSON value.
pub(super) fn beginning(text: &[u8]) -> Option<Vec<Token>> {
    let mut reader = Reader { text, at: 0, tokens: Vec::new(), cut: None };
    reader.blanks();
    if reader.value(0, None).is_some() {
        reader.blanks();
        return (reader.at == text.len()).then_some(reader.tokens);
    }
    if let Some(start) = reader.cut {
        reader.tokens.push(Token { start, end: text.len(), kind: Kind::String, member: None });
    } else if reader.at < text.len() {
        let bare = text[reader.at..].iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
        let token = Token { start: reader.at, end: text.len(), kind: Kind::Bare, member: None };
        bare.then(|| reader.tokens.push(token))?;
    }
    Some(reader.tokens)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    /// Where the string begins that the end of the text cuts off.
    cut: Option<usize>,
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
        let start = self.at;
        loop {
            let Some(len) = self.character() else {
                self.cut = self.is_cut().then_some(start);
                return None;
            };
            if len == 0 {
                break;
            }
            self.at += len;
        }
        let kind = if key { Kind::Key } else { Kind::String };
        self.tokens.push(Token { start, end: self.at, kind, member });
        self.eat(b'"')
    }

    /// Length of the byte or escape of a string's content that stands here, 0 for the closing quote; `None`
    /// for what a string cannot have and where the text ends.
    fn character(&self) -> Option<usize> {
        match self.peek()? {
            b'"' => Some(0),
            b'\\' => match *self.text.get(self.at + 1)? {
                b'u' => {
                    let digits = self.text.get(self.at + 2..self.at + 6)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
                _ => None,
            },
            0..=31 => None,
            _ => Some(1),
        }
    }

    /// Whether what stands here, and is no character of a string, may become one with what follows.
    fn is_cut(&self) -> bool {
        match self.text[self.at..] {
            [] | [b'\\'] => true,
            [b'\\', b'u', ref digits @ ..] => digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit),
            _ => false,
        }
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
/// bytes, the last being the content's length. What the end cuts off of an escape stands for nothing.
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
                    let Some(first) = unit(at) else { break };
                    at += 4;
                    let second = (content.get(at..at + 2) == Some(b"\\u")).then(|| unit(at + 2)).flatten();
                    let pair = [first, second.unwrap_or(0)];
                    let high = (0xd800..0xdc00).contains(&first);
                    if high && second.is_none() && b"\\u".starts_with(&content[at..content.len().min(at + 2)])
                    {
                        break;
                    }
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
                Some(_) => &content[start + 1..start + 2],
                None => break,
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
    fn json_that_is_cut_off() {
        let whole = r#" {"a": [1, -2.5e3, true, null, "x\u00e4\n\"]"], "b\\": {}} "#;
        for at in 0..whole.len() {
            assert!(at < 2 || beginning(&whole.as_bytes()[..at]).is_some(), "{}", &whole[..at]);
        }
        let last = |text: &str| {
            beginning(text.as_bytes()).and_then(|t| t.last().map(|t| text[t.start..t.end].to_owned()))
        };
        for (text, wanted) in
            [(r#"{"a":"xy\u00"#, r"xy\u00"), (r#"{"a":"xy\"#, r"xy\"), (r#"{"a"#, "a"), ("[12", "12")]
        {
            assert_eq!(last(text).as_deref(), Some(wanted), "{text}");
        }
        for text in [r#"{"a":"\x"#, "{}}", "\"\n", "[info] x"] {
            assert!(beginning(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_string_decoded_with_its_places() {
        let (bytes, from) = decode(br#"a\u00e4\n\ud83d\ude00\/"#);
        assert_eq!(bytes, "a\u{e4}\n\u{1f600}/".as_bytes());
        assert_eq!(from, [0, 1, 1, 7, 9, 9, 9, 9, 21, 23]);
        for cut in [r"ab\", r"ab\u", r"ab\u00e", r"ab\ud83d", r"ab\ud83d\", r"ab\ud83d\ude0"] {
            assert_eq!(decode(cut.as_bytes()), (b"ab".to_vec(), vec![0, 1, cut.len()]), "{cut}");
        }
        assert_eq!(decode(br"\ud83d\u0041").0, "\u{fffd}A".as_bytes());
    }
}
