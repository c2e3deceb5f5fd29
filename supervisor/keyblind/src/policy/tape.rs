//! A parsed TOML file as one flat list of tokens.
//!
//! The built-in policies are parsed when keyblind is built and lie in the binary as such lists, since each run
//! reads them before it starts. This file is compiled into the build script as well, so that there is one
//! reading of TOML only. It therefore uses nothing of the crate around it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// What a token is. Strings and numbers are slices of the text where they stand there as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Followed by keys and values in turn, up to `link`.
    Table,
    /// Followed by values, up to `link`.
    Array,
    /// A key or a string without quotes and escapes around it.
    Bare,
    /// A key or a string, quoted, without escapes.
    Quoted,
    /// A key or a string of which the value is in [`Tape::owned`], at `link`.
    Owned,
    /// An integer as TOML writes it.
    Integer,
    /// A float as TOML writes it.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A date, a time or both.
    Datetime,
}

/// One token. Offsets are bytes of the text, lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) line: u32,
    /// Of a table or an array: the index after the last token inside. Of an owned string: its index.
    pub(crate) link: u32,
}

/// The tokens of one file; the first is the table of the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tape<'t> {
    pub(crate) text: &'t str,
    pub(crate) tokens: Cow<'t, [Token]>,
    pub(crate) owned: Vec<String>,
}

/// Something that is not TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.span.start, self.message)
    }
}

impl<'t> Tape<'t> {
    /// Parses `text`, which must be shorter than 4 GiB. Errors: everything that is not TOML, in the order of
    /// the text.
    pub(crate) fn parse(text: &'t str) -> Result<Tape<'t>, Vec<SyntaxError>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors
                .iter()
                .map(|error| SyntaxError {
                    message: error.message().to_owned(),
                    span: error.span().unwrap_or(text.len()..text.len()),
                })
                .collect());
        }
        let mut writer = Writer::new(text);
        writer.table(0..0, table.get_ref());
        Ok(Tape { text, tokens: Cow::Owned(writer.tokens), owned: writer.owned })
    }

    /// The index after the value at `index` and all that is inside.
    pub(crate) fn after(&self, index: usize) -> usize {
        match self.tokens.get(index) {
            Some(Token { kind: Kind::Table | Kind::Array, link, .. }) => *link as usize,
            _ => index + 1,
        }
    }

    /// The value of the key or string at `index`. `None` if that is something else.
    pub(crate) fn string(&self, index: usize) -> Option<&str> {
        let token = self.tokens.get(index)?;
        let (start, end) = (token.start as usize, token.end as usize);
        match token.kind {
            Kind::Bare => self.text.get(start..end),
            Kind::Quoted => self.text.get(start + 1..end - 1),
            Kind::Owned => self.owned.get(token.link as usize).map(String::as_str),
            _ => None,
        }
    }

    /// The source text of the token at `index`.
    pub(crate) fn raw(&self, index: usize) -> &str {
        let token = self.tokens.get(index);
        token.and_then(|token| self.text.get(token.start as usize..token.end as usize)).unwrap_or_default()
    }
}

struct Writer<'t> {
    text: &'t str,
    newlines: Vec<usize>,
    tokens: Vec<Token>,
    owned: Vec<String>,
}

impl<'t> Writer<'t> {
    fn new(text: &'t str) -> Writer<'t> {
        let newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Writer { text, newlines, tokens: Vec::new(), owned: Vec::new() }
    }

    fn push(&mut self, kind: Kind, span: Range<usize>) -> usize {
        let line = self.newlines.partition_point(|newline| *newline < span.start) + 1;
        let token =
            Token { kind, start: small(span.start), end: small(span.end), line: small(line), link: 0 };
        self.tokens.push(token);
        self.tokens.len() - 1
    }

    fn link(&mut self, index: usize, to: usize) {
        if let Some(token) = self.tokens.get_mut(index) {
            token.link = small(to);
        }
    }

    fn string(&mut self, span: Range<usize>, value: &str) {
        let inner = span.start + 1..span.end.saturating_sub(1);
        if self.text.get(span.clone()) == Some(value) {
            self.push(Kind::Bare, span);
        } else if span.len() == value.len() + 2 && self.text.get(inner) == Some(value) {
            self.push(Kind::Quoted, span);
        } else {
            let index = self.push(Kind::Owned, span);
            self.link(index, self.owned.len());
            self.owned.push(value.to_owned());
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) {
        let span = value.span();
        match value.get_ref() {
            DeValue::String(text) => self.string(span, text),
            DeValue::Integer(_) => drop(self.push(Kind::Integer, span)),
            DeValue::Float(_) => drop(self.push(Kind::Float, span)),
            DeValue::Boolean(_) => drop(self.push(Kind::Boolean, span)),
            DeValue::Datetime(_) => drop(self.push(Kind::Datetime, span)),
            DeValue::Array(array) => self.array(span, array),
            DeValue::Table(table) => self.table(span, table),
        }
    }

    fn array(&mut self, span: Range<usize>, array: &DeArray<'_>) {
        let index = self.push(Kind::Array, span);
        for value in array.iter() {
            self.value(value);
        }
        self.link(index, self.tokens.len());
    }

    fn table(&mut self, span: Range<usize>, table: &DeTable<'_>) {
        let index = self.push(Kind::Table, span);
        for (key, value) in table.iter() {
            self.string(key.span(), key.get_ref());
            self.value(value);
        }
        self.link(index, self.tokens.len());
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
