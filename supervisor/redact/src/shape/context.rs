//! The value beside a telling name: `password: …`, `API_KEY=…`, `--token …`, `<secret>…</secret>`.
//!
//! What stands there is often no secret but where the secret comes from (`${X}`, `os.environ["X"]`,
//! `getPassword()`), what it is (`string`) or that it is hidden (`***`). Such values pass untouched:
//! a redacted reference makes a reader repair code that was not broken.

use super::between::{Cursor, Join, More, Name, before_value, blank};
use super::letters::is_gibberish;
use super::looks::{is_literal, is_name, is_secret_url, random_value, strong_value};
pub(crate) use super::names::is_prose;
use super::names::name_byte;
use super::reference::is_reference;
use super::{REACH, Swallow, Verdict};

/// A value is judged by at most so many bytes; what follows is hidden with it.
const JUDGED: usize = 256;

/// What a telling word asks of the value beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It looks made by a machine.
    Random,
    /// It is no reference; a word of its own is a password too.
    Strong,
    /// As `Random`; in quotes a word with a digit is one too.
    Word,
    /// As `Strong`, but the name is also a word of everyday text: without quotes it has to have a digit.
    Short,
    /// As `Random`, behind a name of its own: `Cookie: name=…`.
    Header,
    /// It is a URL that lets in whoever knows it.
    Url,
}

impl Kind {
    fn strong(self) -> bool {
        matches!(self, Kind::Strong | Kind::Short)
    }
}

/// `text[at..end]` is the telling word, with the signs that belong to it. `item`: which of the values of a
/// list is asked for, from 0.
pub(crate) fn judge(kind: Kind, text: &[u8], at: usize, end: usize, eof: bool, item: usize) -> Verdict {
    // Signs of the word are read again, as those of other words are.
    let signs = text[at..end].iter().rev();
    let end = end - signs.take_while(|b| matches!(b, b' ' | b'=' | b':' | b'"' | b'\'' | b'>')).count();
    if kind == Kind::Short && !begins_part(text, at, end) {
        return Verdict::No;
    }
    let mut cursor = Cursor { text, pos: end, eof, value: None };
    let name = Name { url: kind == Kind::Url, scheme: matches!(kind, Kind::Random | Kind::Word) };
    match before_value(&mut cursor, name, at, end) {
        Err(More) => Verdict::Pending { from: cursor.value.unwrap_or(text.len()) },
        Ok(None) => Verdict::No,
        Ok(Some(_)) if cursor.pos - at > REACH => Verdict::No,
        Ok(Some((join, rest))) => {
            let quote = rest.quote.map(|quote| (quote, rest.escaped, rest.list));
            let first = value(kind, text, cursor.pos, join, rest, eof);
            match (first, quote) {
                (first, _) if item == 0 => first,
                (Verdict::Span { end, open: None, .. }, Some((quote, false, list))) => {
                    items(text, at, end, List { quote, bracket: list }, eof, item)
                }
                _ => Verdict::No,
            }
        }
    }
}

/// Whether the word is not the end of a longer one: `db_pass`, `dbPass`, not `bypass`.
fn begins_part(text: &[u8], at: usize, end: usize) -> bool {
    let first = (at..end).find(|&at| text[at].is_ascii_alphabetic()).unwrap_or(at);
    match first.checked_sub(1).map(|before| text[before]) {
        Some(before) if before.is_ascii_alphabetic() => {
            before.is_ascii_lowercase() && text[first].is_ascii_uppercase()
        }
        _ => true,
    }
}

/// How the values of a list are written.
#[derive(Clone, Copy)]
struct List {
    quote: u8,
    bracket: bool,
}

/// The `item`th value behind a first one that ends before the quote at `end`: `["…", "…"]`, `'…' | '…'`.
fn items(text: &[u8], at: usize, end: usize, list: List, eof: bool, item: usize) -> Verdict {
    let mut cursor = Cursor { text, pos: end, eof, value: None };
    let mut last = (end, end);
    for _ in 0..item {
        match next_item(&mut cursor, list) {
            Err(More) => return Verdict::Pending { from: cursor.value.unwrap_or(text.len()) },
            Ok(Some(span)) if span.0 - at <= REACH => last = span,
            Ok(_) => return Verdict::No,
        }
    }
    Verdict::Span { start: last.0, end: last.1, open: None }
}

/// The value behind the quote that the cursor is at; leaves the cursor at the value's closing quote.
fn next_item(cursor: &mut Cursor<'_>, list: List) -> Result<Option<(usize, usize)>, More> {
    cursor.value = None;
    cursor.pass(1, |b| b == list.quote)?;
    cursor.pass(4, blank)?;
    let separator = cursor.pass(1, |b| b == b'|' || list.bracket && b == b',')?;
    cursor.pass(16, |b| b.is_ascii_whitespace())?;
    if separator == 0 || cursor.pass(1, |b| b == list.quote)? == 0 {
        return Ok(None);
    }
    let start = cursor.pos;
    cursor.value = Some(start);
    cursor.pass(JUDGED, |b| b.is_ascii_graphic() && b != list.quote && b != b'\\')?;
    let end = cursor.pos;
    let closed = cursor.pass(1, |b| b == list.quote)? == 1;
    cursor.pass(4, blank)?;
    // The next key is no value.
    let key = cursor.peek()?.is_some_and(|b| matches!(b, b':' | b'='));
    cursor.pos = end;
    let value = &cursor.text[start..end];
    let fits = closed && !key && random_value(value, 16, true) && !is_name(value) && !is_reference(value);
    Ok(fits.then_some((start, end)))
}

/// The rest of a value whose begin is known.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(super) quote: Option<u8>,
    /// The quote is written `\"`.
    pub(super) escaped: bool,
    /// A bracket stands before the quote.
    pub(super) list: bool,
    /// The next byte is escaped by a backslash.
    pub(super) skip: bool,
    pub(super) env: bool,
    /// No quote stood behind the name: a mark in place of a number breaks no JSON.
    pub(super) bare_name: bool,
}

impl Rest {
    /// A value without quotes.
    pub(super) const BARE: Rest =
        Rest { quote: None, escaped: false, list: false, skip: false, env: false, bare_name: false };

    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().position(|&b| self.ends_at(b))
    }

    fn ends_at(&mut self, b: u8) -> bool {
        if std::mem::take(&mut self.skip) {
            return false;
        }
        match self.quote {
            _ if b == b'\n' || b == b'\r' => true,
            Some(_) if self.escaped => b == b'\\' || Some(b) == self.quote,
            Some(quote) => {
                self.skip = b == b'\\';
                b == quote
            }
            None if self.env => matches!(
                b,
                b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\' | b'&' | b';' | b'<' | b'>' | b'|' | 0x1b
            ),
            None => matches!(
                b,
                b' ' | b'\t'
                    | b'"'
                    | b'\''
                    | b'`'
                    | b'\\'
                    | b'&'
                    | b';'
                    | b'<'
                    | b'>'
                    | b'|'
                    | b','
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b'{'
                    | b'}'
                    | 0x1b
            ),
        }
    }
}

fn value(kind: Kind, text: &[u8], start: usize, join: Join, mut rest: Rest, eof: bool) -> Verdict {
    let window = &text[start..text.len().min(start + JUDGED)];
    let mut probe = rest.clone();
    let end = probe.advance(window);
    if end.is_none() && window.len() < JUDGED && !eof {
        return Verdict::Pending { from: start };
    }
    let value = &window[..end.unwrap_or(window.len())];
    let next = end.and_then(|n| window.get(n)).copied();
    let (quoted, bare_name, strong) = (rest.quote.is_some(), rest.bare_name, kind.strong());
    // `token=…` as the value of a header or a cookie: the name stays.
    let named = match kind {
        Kind::Header => assigned(value),
        Kind::Random | Kind::Word if join != Join::Blank => self::named(value),
        _ => 0,
    };
    let (from, value) = (start + named, &value[named..]);
    // What a bracket ends is a call, an index or `${…}`.
    if value.len() < least(kind, join, quoted, text, start)
        || !quoted && matches!(next, Some(b'(' | b'[' | b'{'))
    {
        return Verdict::No;
    }
    if !quoted && value.iter().all(u8::is_ascii_lowercase) && join != Join::Env {
        // A word before other words is prose: `password: reset by owner`.
        let after = &text[from + value.len()..];
        let blanks = after.iter().take_while(|&&b| blank(b)).count();
        match after.get(blanks) {
            None if !eof && blanks < 8 => return Verdict::Pending { from: start },
            Some(b) if blanks > 0 && (b.is_ascii_alphanumeric() || *b == b'{') => return Verdict::No,
            _ => {}
        }
    }
    // `<password>` in a usage text closes nothing.
    if join == Join::Element && end.is_some() && next != Some(b'<') {
        return Verdict::No;
    }
    let code = !quoted && matches!(join, Join::Sign | Join::Blank | Join::Element);
    let fits = match join {
        _ if kind == Kind::Url => is_secret_url(value),
        // `secret key=…`: the sign belongs to another name, which is looked at by itself.
        Join::Blank => {
            let least = if strong { 8 } else { 14 };
            // `storePassword "…"`.
            let word = strong && quoted && mixes(value) && strong_value(value, true, join);
            word || random_value(value, least, value.len() >= 20) && assigned(value) == 0 && !is_name(value)
        }
        Join::Wrapped => random_value(value, 16, true) && !is_name(value),
        Join::Call if value.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_') => {
            !strong && is_gibberish(value)
        }
        _ if strong => {
            let word = kind == Kind::Short && !quoted && !value.iter().any(u8::is_ascii_digit);
            strong_value(value, quoted, join) && !(word && join != Join::Env)
        }
        _ => {
            let number = quoted || join == Join::Env || bare_name;
            let word = kind == Kind::Word && quoted && mixes(value);
            word || random_value(value, 8, number) && !is_name(value)
        }
    };
    if !fits || code && is_literal(value) || kind != Kind::Url && is_reference(value) {
        return Verdict::No;
    }
    match end {
        Some(n) => Verdict::Span { start: from, end: start + n, open: None },
        None => {
            rest.advance(window);
            Swallow::Value(rest).span(text, from, start + window.len())
        }
    }
}

/// One word of letters and digits, with signs that names do not have.
fn mixes(value: &[u8]) -> bool {
    value
        .iter()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'%' | b'\\'))
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
}

/// Shortest value, in bytes.
fn least(kind: Kind, join: Join, quoted: bool, text: &[u8], start: usize) -> usize {
    match join {
        Join::Blank if kind.strong() => {
            if quoted {
                6
            } else {
                8
            }
        }
        Join::Blank => 14,
        _ if kind.strong() => 4,
        // `key=…`, without blanks.
        _ if quoted || join == Join::Env || text[..start].ends_with(b"=") => 8,
        _ => 10,
    }
}

/// Length of the `name=` that `value` begins with, 0 if it begins with no name of a secret's.
fn named(value: &[u8]) -> usize {
    let name = assigned(value);
    let ends = |word: &&str| {
        let name = &value[..name.saturating_sub(1)];
        name.len() >= word.len() && name[name.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
    };
    if ["token", "key", "sid", "session", "sessionid", "auth", "secret"].iter().any(ends) { name } else { 0 }
}

/// Length of the `name=` that `value` begins with, 0 if it does not.
fn assigned(value: &[u8]) -> usize {
    let name = value.iter().take_while(|b| name_byte(**b)).count();
    let sign = name > 0 && name < 24 && matches!(value.get(name), Some(b'=' | b':'));
    // `=` also pads base64.
    let rest = value.get(name + 1..).unwrap_or_default();
    if sign && rest.iter().any(|b| *b != b'=') { name + 1 } else { 0 }
}
