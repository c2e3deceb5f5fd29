//! What stands between a telling name and its value: the rest of the name, signs, types, quotes.

use super::context::Rest;
use super::names::{
    CONTINUES, FILLERS, argument, hangs, is_about, is_element, is_flag, is_other_word, name_byte,
    starts_with_word,
};

/// Longest rest of a name behind the telling word (`_FOR_STAGING`), in bytes; a value that hangs on the
/// name is looked at so far.
const TAIL: usize = 48;

/// A step of reading that ran out of input.
pub(super) struct More;

pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) pos: usize,
    pub(super) eof: bool,
    /// From where on what has been read may turn out to be the value.
    pub(super) value: Option<usize>,
}

impl Cursor<'_> {
    /// The next byte; `None` at the end of the stream.
    pub(super) fn peek(&self) -> Result<Option<u8>, More> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Result<Option<u8>, More> {
        match self.text.get(self.pos + ahead) {
            Some(&b) => Ok(Some(b)),
            None if self.eof => Ok(None),
            None => Err(More),
        }
    }

    /// Passes up to `most` bytes that `is` accepts; gives how many.
    pub(super) fn pass(&mut self, most: usize, is: impl Fn(u8) -> bool) -> Result<usize, More> {
        let from = self.pos;
        while self.pos - from < most && self.peek()?.is_some_and(&is) {
            self.pos += 1;
        }
        Ok(self.pos - from)
    }

    /// Whether `word` stands here, in either case; gives its length.
    fn word(&self, word: &str) -> Result<Option<usize>, More> {
        for (n, wanted) in word.bytes().enumerate() {
            if !self.peek_at(n)?.is_some_and(|b| b.eq_ignore_ascii_case(&wanted)) {
                return Ok(None);
            }
        }
        Ok(Some(word.len()))
    }
}

pub(super) fn blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

pub(super) fn quotes(b: u8) -> bool {
    matches!(b, b'"' | b'\'' | b'`')
}

/// How name and value are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// `NAME=value` without blanks: an assignment in a shell or a `.env` file, a query.
    Env,
    /// `=`, `:`, `:=`, `=>` and kin.
    Sign,
    /// Blanks only, or a sign that says little.
    Blank,
    /// `--name value`.
    Flag,
    /// `<name>value</name>`.
    Element,
    /// `name("value")`: often a function and its argument.
    Call,
    /// `name = wrapper("value")`.
    Wrapped,
}

/// What a name asks of what follows it.
#[derive(Clone, Copy)]
pub(super) struct Name {
    /// A name that goes on with `_URL` is still telling.
    pub(super) url: bool,
    /// A word such as `Bearer` before the value is not the value's.
    pub(super) scheme: bool,
}

/// Words before the credential in a header's value.
const SCHEMES: &[&str] =
    &["bearer", "basic", "token", "apikey", "api-key", "key", "oauth", "ssws", "jwt", "digest", "genie-key"];

/// Passes everything between the word `text[at..end]` and the value.
pub(super) fn before_value(
    cursor: &mut Cursor<'_>,
    name: Name,
    at: usize,
    end: usize,
) -> Result<Option<(Join, Rest)>, More> {
    let text = cursor.text;
    if cursor.pass(TAIL, name_byte).is_err() {
        // What hangs on the name may become a value.
        let after = &text[end..];
        let more = CONTINUES.iter().find(|word| starts_with_word(after, word)).map_or(0, |word| word.len());
        let end = end + more;
        if text.get(end).is_some_and(|b| matches!(b, b'-' | b'_' | b'.')) {
            cursor.value = Some(end + 1);
        }
        return Err(More);
    }
    let tail = &text[end..cursor.pos];
    let more = CONTINUES.iter().find(|word| starts_with_word(tail, word)).map_or(0, |word| word.len());
    let (whole, rest) = (tail, &tail[more..]);
    if let Some(b'-' | b'_' | b'.') = rest.first()
        && hangs(&rest[1..])
    {
        // `service-token-0123456789abcdef…`: the value hangs on the name.
        cursor.pos = end + more + 1;
        return Ok(Some((Join::Blank, Rest::BARE)));
    }
    let tail = whole;
    let several = matches!(tail, b"s" | b"S");
    if !several && is_other_word(text[end - 1], tail) {
        return Ok(None);
    }
    if let Some(found) = named_value(cursor, at)? {
        return Ok(Some(found));
    }
    let closed = cursor.pass(4, |b| quotes(b) || matches!(b, b']' | b')' | b'\\' | b'*'))? > 0;
    let mut blanks = cursor.pass(16, blank)?;
    // What follows may be a sign, a word that says nothing, or the value.
    cursor.value = (blanks > 0 && !closed).then_some(cursor.pos);
    if blanks > 0 && !closed && !several {
        blanks += filler(cursor)?;
    }
    let Some(byte) = cursor.peek()? else { return Ok(None) };
    if several && !matches!(byte, b'=' | b':') {
        return Ok(None);
    }
    let Some(mut join) = sign(cursor, byte, Before { at, end, tail, closed, blanks })? else {
        return Ok(None);
    };
    if join == Join::Blank && is_short_word(cursor) || !several && is_about(tail, name.url) {
        return Ok(None);
    }
    cursor.pass(8, blank)?;
    cursor.value = Some(cursor.pos);
    if matches!(join, Join::Sign | Join::Env) {
        block(cursor)?;
        cursor.value = Some(cursor.pos);
    }
    if annotation(cursor)? && join == Join::Blank {
        join = Join::Sign;
    }
    if matches!(join, Join::Sign | Join::Env) && wrapper(cursor)? {
        join = Join::Wrapped;
    }
    let Some(rest) = quote(cursor)? else { return Ok(None) };
    if several && rest.quote.is_none() {
        return Ok(None);
    }
    if name.scheme && !matches!(join, Join::Blank | Join::Flag) {
        scheme(cursor)?;
    }
    if join == Join::Env && rest.quote.is_some() {
        join = Join::Sign;
    }
    Ok(Some((join, Rest { env: join == Join::Env, bare_name: !closed, ..rest })))
}

/// What was read before the sign.
#[derive(Clone, Copy)]
struct Before<'a> {
    at: usize,
    end: usize,
    tail: &'a [u8],
    closed: bool,
    blanks: usize,
}

/// Passes what joins name and value.
fn sign(cursor: &mut Cursor<'_>, byte: u8, before: Before<'_>) -> Result<Option<Join>, More> {
    let (text, closed, blanks) = (cursor.text, before.closed, before.blanks);
    let mut join = Join::Sign;
    match byte {
        b'=' => {
            let upper = text[before.end - 1].is_ascii_uppercase();
            cursor.pos += 1;
            let more = cursor.pass(2, |b| matches!(b, b'=' | b'>' | b'~'))?;
            if upper && blanks == 0 && more == 0 && !closed {
                join = Join::Env;
            }
        }
        b':' => {
            cursor.pos += 1;
            cursor.pass(2, |b| matches!(b, b':' | b'=' | b'*'))?;
            // `Token::new`.
            if text[..cursor.pos].ends_with(b"::") && cursor.peek()?.is_some_and(|b| b.is_ascii_alphabetic())
            {
                return Ok(None);
            }
        }
        // A full-width colon.
        0xef if cursor.peek_at(1)? == Some(0xbc) && cursor.peek_at(2)? == Some(0x9a) => cursor.pos += 3,
        b'?' | b'+' | b'|' | b'!' if cursor.peek_at(1)? == Some(b'=') => {
            cursor.pos += 2;
            cursor.pass(1, |b| b == b'=')?;
        }
        b'|' if cursor.peek_at(1)? == Some(b'|') && cursor.peek_at(2)? == Some(b':') => cursor.pos += 3,
        // `env.TOKEN || "…"`: what holds where the variable is not set.
        b'|' | b'?' if cursor.peek_at(1)? == Some(byte) => return default(cursor, 2),
        b'o' if blanks > 0 && cursor.word("or ")?.is_some() => return default(cursor, 3),
        // A table's next cell; a dash between words.
        b'|' | b'-' if blanks > 0 && cursor.peek_at(1)?.is_some_and(blank) => {
            cursor.pos += 1;
            join = Join::Blank;
        }
        b'-' if cursor.peek_at(1)? == Some(b'>') => cursor.pos += 2,
        b',' if closed => match argument(text, before.at) {
            Some(b'[') => {
                cursor.pos += 1;
                join = Join::Wrapped;
            }
            Some(_) => cursor.pos += 1,
            None => return Ok(None),
        },
        b'(' if !closed && !before.tail.contains(&b'.') => {
            // `setPassword("…")`: only a quoted argument is a value.
            cursor.pos += 1;
            cursor.pass(4, blank)?;
            if !cursor.peek()?.is_some_and(quotes) {
                return Ok(None);
            }
            join = Join::Call;
        }
        b'>' => {
            cursor.pos += 1;
            join = Join::Element;
        }
        _ if blanks > 0 && !closed => {
            join = if is_flag(text, before.at) { Join::Flag } else { Join::Blank };
            // `the token is "…"`.
            if join == Join::Blank && is_said(text, cursor.pos) && quotes(byte) {
                join = Join::Sign;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(join))
}

/// Passes an operator of `len` bytes that a quoted value must follow.
fn default(cursor: &mut Cursor<'_>, len: usize) -> Result<Option<Join>, More> {
    cursor.pos += len;
    cursor.pass(4, blank)?;
    Ok(cursor.peek()?.is_some_and(|b| matches!(b, b'"' | b'\'')).then_some(Join::Sign))
}

/// Passes up to two words that say nothing, and a number; gives how many bytes. The cursor is behind a blank.
fn filler(cursor: &mut Cursor<'_>) -> Result<usize, More> {
    let from = cursor.pos;
    for _ in 0..2 {
        let mut len = 0;
        for word in FILLERS {
            if let Some(found) = cursor.word(word)? {
                len = found;
                break;
            }
        }
        while len < 3 && cursor.peek_at(len)?.is_some_and(|b| b.is_ascii_digit()) {
            len += 1;
        }
        if len == 0 || !cursor.peek_at(len)?.is_some_and(|b| blank(b) || matches!(b, b':' | b'=')) {
            break;
        }
        cursor.pos += len;
        cursor.pass(4, blank)?;
    }
    Ok(cursor.pos - from)
}

/// Whether ` is ` stands before `pos`.
fn is_said(text: &[u8], pos: usize) -> bool {
    text[..pos].trim_ascii_end().ends_with(b" is") && text[..pos].ends_with(b" ")
}

/// Passes a YAML block's head, up to its first line's first character, and a tag.
fn block(cursor: &mut Cursor<'_>) -> Result<(), More> {
    let from = cursor.pos;
    if cursor.word("!!str ")?.is_some() {
        cursor.pos += 6;
        return Ok(());
    }
    if cursor.pass(1, |b| matches!(b, b'|' | b'>'))? == 1 {
        cursor.pass(1, |b| matches!(b, b'-' | b'+'))?;
        cursor.pass(1, |b| b == b'\r')?;
        if cursor.pass(1, |b| b == b'\n')? == 1 && cursor.pass(16, blank)? > 0 {
            return Ok(());
        }
    }
    cursor.pos = from;
    Ok(())
}

/// Passes a header's scheme (`Bearer `) that stands before the credential.
fn scheme(cursor: &mut Cursor<'_>) -> Result<(), More> {
    for word in SCHEMES {
        if let Some(len) = cursor.word(word)?
            && cursor.peek_at(len)?.is_some_and(blank)
        {
            cursor.pos += len;
            cursor.pass(2, blank)?;
            return Ok(());
        }
    }
    Ok(())
}

/// Passes the opening of a call around the value, `new String(`, if a quote follows.
fn wrapper(cursor: &mut Cursor<'_>) -> Result<bool, More> {
    let from = cursor.pos;
    if let Some(len) = cursor.word("new ")? {
        cursor.pos += len;
    }
    let name = cursor.pass(40, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'!'))?;
    if name > 0 && cursor.pass(1, |b| b == b'(')? == 1 {
        cursor.pass(4, blank)?;
        if cursor.peek()?.is_some_and(quotes) {
            return Ok(true);
        }
    }
    cursor.pos = from;
    Ok(false)
}

/// Passes what stands before a value that has a name of its own: `name: X` and `value: …` in two lines of
/// YAML, `"name": "X", "value": "…"` in JSON, `key="X" value="…"` and `<key>X</key><string>…` in XML. Leaves
/// the cursor where it was if this is none of them.
fn named_value(cursor: &mut Cursor<'_>, at: usize) -> Result<Option<(Join, Rest)>, More> {
    let from = cursor.pos;
    let quote = |b: u8| matches!(b, b'"' | b'\'' | b'\\');
    cursor.pass(2, quote)?;
    let closed = cursor.pos > from;
    if element(cursor, closed)? {
        cursor.value = Some(cursor.pos);
        return Ok(Some((Join::Element, Rest { bare_name: true, ..Rest::BARE })));
    }
    cursor.pass(1, |b| b == b',')?;
    let between = cursor.pass(32, |b| b.is_ascii_whitespace())?;
    let blanks = from..cursor.pos;
    cursor.pass(2, quote)?;
    if between > 0
        && let Some(len) = cursor.word("value")?
        && (closed || cursor.text[blanks].contains(&b'\n') || is_element(cursor.text, at))
    {
        cursor.pos += len;
        cursor.pass(2, quote)?;
        cursor.pass(2, blank)?;
        if cursor.pass(1, |b| matches!(b, b':' | b'='))? == 1 {
            cursor.pass(4, blank)?;
            cursor.value = Some(cursor.pos);
            if let Some(rest) = self::quote(cursor)? {
                return Ok(Some((Join::Sign, rest)));
            }
        }
    }
    cursor.pos = from;
    cursor.value = None;
    Ok(None)
}

/// Passes `</key><string>`, or `><value>` behind an attribute.
fn element(cursor: &mut Cursor<'_>, closed: bool) -> Result<bool, More> {
    let from = cursor.pos;
    let tag = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':');
    let ended = if cursor.word("</")?.is_some() {
        cursor.pos += 2;
        cursor.pass(24, tag)?;
        cursor.pass(1, |b| b == b'>')? == 1
    } else {
        closed && cursor.pass(1, |b| b == b'>')? == 1
    };
    if ended {
        cursor.pass(32, |b| b.is_ascii_whitespace())?;
        if cursor.pass(1, |b| b == b'<')? == 1
            && cursor.pass(16, tag)? > 0
            && cursor.pass(1, |b| b == b'>')? == 1
        {
            return Ok(true);
        }
    }
    cursor.pos = from;
    Ok(false)
}

/// Passes a type between name and value: `token: str = "…"`, `var token string = "…"`; says whether
/// there is one.
fn annotation(cursor: &mut Cursor<'_>) -> Result<bool, More> {
    let from = cursor.pos;
    let letters = cursor
        .pass(48, |b| b.is_ascii_alphanumeric() || matches!(b, b'&' | b'[' | b']' | b'_' | b'<' | b'>'))?;
    if letters > 0
        && cursor.pass(4, blank)? > 0
        && cursor.peek()? == Some(b'=')
        && cursor.peek_at(1)? != Some(b'=')
    {
        cursor.pos += 1;
        cursor.pass(4, blank)?;
        return Ok(true);
    }
    cursor.pos = from;
    Ok(false)
}

/// Passes the opening quote, if there is one, with what languages put before it.
fn quote(cursor: &mut Cursor<'_>) -> Result<Option<Rest>, More> {
    let mut ahead = 0;
    while cursor
        .peek_at(ahead)?
        .is_some_and(|b| matches!(b, b'b' | b'r' | b'u' | b'f' | b'@' | b'$' | b'\\' | b'(' | b'['))
        && ahead < 3
    {
        ahead += 1;
    }
    match cursor.peek_at(ahead)? {
        Some(b) if quotes(b) => {
            let opening = &cursor.text[cursor.pos..cursor.pos + ahead];
            let (escaped, list) = (opening.ends_with(b"\\"), opening.contains(&b'['));
            cursor.pos += ahead + 1;
            // `"""` opens as `"` does; an empty value ends here.
            if !escaped && cursor.pass(2, |q| q == b)? == 1 {
                return Ok(None);
            }
            Ok(Some(Rest { quote: Some(b), escaped, list, ..Rest::BARE }))
        }
        Some(_) => Ok(Some(Rest::BARE)),
        None => Ok(None),
    }
}

/// Whether a word of less than 8 letters and digits stands here, before another word: too short for a value
/// that has no sign before it and no quotes, and no type.
fn is_short_word(cursor: &Cursor<'_>) -> bool {
    let rest = &cursor.text[cursor.pos..];
    let word = rest.iter().take(8).take_while(|b| b.is_ascii_alphanumeric()).count();
    (1..8).contains(&word)
        && rest.get(word).is_some_and(|b| blank(*b))
        && rest.get(word + 1).is_some_and(|b| b.is_ascii_alphanumeric())
}
