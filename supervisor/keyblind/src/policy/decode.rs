//! Tokens → serde, so that the shapes of `document` can be plain derived types while every mistake of a file is
//! reported with its place, not only the first.
//!
//! Unknown keys are recorded and passed over. A value that cannot be read is recorded, and the file is read again
//! without it.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::U64Deserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::problem::{Problem, one_of, suggest};
use super::tape::{Kind, Tape};

/// The name under which `document::At` asks for a value together with the index of its token: a sequence of two.
pub(super) const AT: &str = "keyblind::policy::At";

/// More mistakes than this are not looked for: nobody reads them, and each costs one more pass.
const MAX_PROBLEMS: usize = 20;

/// Reads a value of type `T` from the whole file. Problems are in no order; with any, the value lacks what they
/// are about.
pub(super) fn decode<'t, T: Deserialize<'t> + Default>(tape: &'t Tape<'t>) -> (T, Vec<Problem>) {
    let context = Context { tape, all_unknown: true, problems: RefCell::default(), skip: RefCell::default() };
    loop {
        let root = Node { context: &context, index: 0, crumb: None };
        let (value, failed) = match T::deserialize(root) {
            Ok(value) => (Some(value), None),
            Err(Failure(inner)) => {
                if let Cause::Located(problem) = inner.cause {
                    context.problems.borrow_mut().push(problem);
                }
                (None, inner.token)
            }
        };
        if let Some(token) = failed
            && context.problems.borrow().len() < MAX_PROBLEMS
        {
            context.skip.borrow_mut().push(token);
            continue;
        }
        return (value.unwrap_or_default(), context.problems.into_inner());
    }
}

/// Reads each table of the list `key` at the top level as a value of type `T` and gives it to `take`, with the
/// number of those to come, itself included. Stops at the first problem.
pub(super) fn each<'t, T: Deserialize<'t>>(
    tape: &'t Tape<'t>,
    key: &str,
    mut take: impl FnMut(T, usize),
) -> Vec<Problem> {
    let context =
        Context { tape, all_unknown: false, problems: RefCell::default(), skip: RefCell::default() };
    let root = Node { context: &context, index: 0, crumb: None };
    let mut entries = Entries::new(&root, None);
    while let Some((name, value)) = entries.step() {
        if tape.string(name) != Some(key) {
            continue;
        }
        let list = Crumb { parent: None, name: key };
        let table = Crumb { parent: Some(&list), name: "" };
        let (mut index, end) = (value + 1, tape.after(value));
        let mut left = std::iter::successors(Some(index), |index| Some(tape.after(*index)))
            .take_while(|index| *index < end)
            .count();
        while index < end {
            match T::deserialize(Node { context: &context, index, crumb: Some(&table) }) {
                Ok(value) => take(value, left),
                Err(Failure(inner)) => {
                    if let Cause::Located(problem) = inner.cause {
                        context.problems.borrow_mut().push(problem);
                    }
                    break;
                }
            }
            index = tape.after(index);
            left -= 1;
        }
    }
    context.problems.into_inner()
}

struct Context<'t> {
    tape: &'t Tape<'t>,
    /// Whether every unknown key is looked for. Else the first fails, which the types see to.
    all_unknown: bool,
    problems: RefCell<Vec<Problem>>,
    /// Tokens of values that are passed over.
    skip: RefCell<Vec<usize>>,
}

impl Context<'_> {
    fn skipped(&self, token: usize) -> bool {
        self.skip.borrow().contains(&token)
    }

    fn span(&self, token: usize) -> std::ops::Range<usize> {
        self.tape.tokens.get(token).map_or(0..0, |token| token.start as usize..token.end as usize)
    }
}

/// One step of the way from the top of the file to a value.
#[derive(Clone, Copy)]
struct Crumb<'c> {
    parent: Option<&'c Crumb<'c>>,
    /// A key. Empty for an entry of a list.
    name: &'c str,
}

/// `in [run.limits]`, `in [[guard]]` or `at the top level`.
fn place(crumb: Option<&Crumb<'_>>) -> String {
    let mut names = Vec::new();
    let mut next = crumb;
    while let Some(crumb) = next {
        if !crumb.name.is_empty() {
            names.push(crumb.name);
        }
        next = crumb.parent;
    }
    names.reverse();
    match crumb {
        None => "at the top level".to_owned(),
        Some(Crumb { name: "", .. }) => format!("in [[{}]]", names.join(".")),
        Some(_) => format!("in [{}]", names.join(".")),
    }
}

/// A value of the file.
#[derive(Clone, Copy)]
struct Node<'n, 't> {
    context: &'n Context<'t>,
    index: usize,
    crumb: Option<&'n Crumb<'n>>,
}

/// Why a value was refused, and the token that must be left out to get on.
#[derive(Debug)]
struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    cause: Cause,
    token: Option<usize>,
}

#[derive(Debug)]
enum Cause {
    /// Said by a type that does not know where it stands.
    Custom(String),
    UnknownField(String, &'static [&'static str]),
    UnknownName(String, &'static [&'static str]),
    Missing(&'static str),
    Located(Problem),
    /// A consequence of a problem that is recorded already.
    Recorded,
}

impl Failure {
    fn new(cause: Cause) -> Failure {
        Failure(Box::new(Inner { cause, token: None }))
    }

    fn at(mut self, token: usize) -> Failure {
        self.0.token.get_or_insert(token);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.cause)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Failure {
        Failure::new(Cause::Custom(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Failure {
        Failure::custom(format_args!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Failure {
        Failure::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Failure {
        Failure::new(Cause::UnknownField(field.to_owned(), expected))
    }

    fn unknown_variant(name: &str, expected: &'static [&'static str]) -> Failure {
        Failure::new(Cause::UnknownName(name.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Failure {
        Failure::new(Cause::Missing(field))
    }
}

impl<'n, 't> Node<'n, 't> {
    fn kind(&self) -> Kind {
        self.context.tape.tokens.get(self.index).map_or(Kind::Table, |token| token.kind)
    }

    /// ``for `keep` in [variables]``, or of an entry of that list.
    fn whose(&self) -> String {
        match self.crumb {
            Some(Crumb { name: "", parent: Some(list) }) => {
                format!("in `{}` {}", list.name, place(list.parent))
            }
            Some(crumb) => format!("for `{}` {}", crumb.name, place(crumb.parent)),
            None => "for the whole file".to_owned(),
        }
    }

    fn problem(&self, what: &str, label: impl Into<String>) -> Failure {
        let title = format!("{what} {}", self.whose());
        Failure::new(Cause::Located(Problem::new(title, self.context.span(self.index), label)))
    }

    fn wrong(&self, expected: &str) -> Failure {
        let found = match self.kind() {
            Kind::Table => "a table",
            Kind::Array => "a list",
            Kind::Bare | Kind::Quoted | Kind::Owned => "a string",
            Kind::Integer => "a whole number",
            Kind::Float => "a number with a fraction",
            Kind::Boolean => "true or false",
            Kind::Datetime => "a date",
        };
        self.problem("wrong type", format!("expected {expected}, found {found}"))
    }

    /// Gives a failure that does not know its place this value's.
    fn locate(&self, mut failure: Failure) -> Failure {
        let span = self.context.span(self.index);
        failure.0.cause = match failure.0.cause {
            Cause::Custom(message) => {
                Cause::Located(Problem::new(format!("bad value {}", self.whose()), span, message))
            }
            Cause::UnknownName(name, known) => {
                let mut label = one_of(known);
                if let Some(near) = super::problem::nearest(&name, known) {
                    label.push_str(&format!("; did you mean `{near}`?"));
                }
                Cause::Located(Problem::new(format!("unknown value {}", self.whose()), span, label))
            }
            Cause::Missing(key) if self.has_skipped(key) => Cause::Recorded,
            Cause::Missing(key) => {
                let title = format!("missing key `{key}` {}", place(self.crumb));
                Cause::Located(Problem::new(title, span, format!("add `{key} = …`")))
            }
            Cause::UnknownField(key, known) => {
                let title = format!("unknown key `{key}` {}", place(self.crumb));
                Cause::Located(Problem::new(title, span, suggest(&key, known)))
            }
            other => other,
        };
        failure
    }

    /// Whether this table has `key`, passed over because its value could not be read.
    fn has_skipped(&self, key: &str) -> bool {
        let mut entries = Entries::new(self, None);
        while let Some((name, value)) = entries.step() {
            if self.context.tape.string(name) == Some(key) {
                return self.context.skipped(value);
            }
        }
        false
    }

    fn text(&self) -> Option<&'t str> {
        let tape: &'t Tape<'t> = self.context.tape;
        tape.string(self.index)
    }

    fn integer(&self) -> Result<i64, Failure> {
        if self.kind() != Kind::Integer {
            return Err(self.wrong("a whole number"));
        }
        let raw: String = self.context.tape.raw(self.index).chars().filter(|char| *char != '_').collect();
        let parsed = match raw.get(..2) {
            Some("0x") => i64::from_str_radix(raw.get(2..).unwrap_or_default(), 16),
            Some("0o") => i64::from_str_radix(raw.get(2..).unwrap_or_default(), 8),
            Some("0b") => i64::from_str_radix(raw.get(2..).unwrap_or_default(), 2),
            _ => raw.parse(),
        };
        parsed.map_err(|_error| self.problem("bad value", "does not fit into 64 bits"))
    }

    fn natural(&self) -> Result<u64, Failure> {
        u64::try_from(self.integer()?).map_err(|_error| self.problem("bad value", "expected 0 or more"))
    }

    fn signed<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        let number = self.integer()?;
        visitor.visit_i64(number).map_err(|failure| self.locate(failure))
    }

    fn unsigned<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        let number = self.natural()?;
        visitor.visit_u64(number).map_err(|failure| self.locate(failure))
    }

    fn table<V: Visitor<'t>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if self.kind() != Kind::Table {
            return Err(self.wrong("a table"));
        }
        visitor.visit_map(Entries::new(&self, fields)).map_err(|failure| self.locate(failure))
    }
}

impl<'t> Deserializer<'t> for Node<'_, 't> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.kind() {
            Kind::Table => self.table(None, visitor),
            Kind::Array => self.deserialize_seq(visitor),
            Kind::Bare | Kind::Quoted | Kind::Owned => self.deserialize_str(visitor),
            Kind::Boolean => self.deserialize_bool(visitor),
            Kind::Integer => self.signed(visitor),
            Kind::Float | Kind::Datetime => Err(self.wrong(&(&visitor as &dyn Expected).to_string())),
        }
    }

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.kind() != Kind::Boolean {
            return Err(self.wrong("true or false"));
        }
        visitor
            .visit_bool(self.context.tape.raw(self.index) == "true")
            .map_err(|failure| self.locate(failure))
    }

    fn deserialize_i64<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.signed(visitor)
    }

    fn deserialize_u32<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.unsigned(visitor)
    }

    fn deserialize_u64<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.unsigned(visitor)
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        let text = self.text().ok_or_else(|| self.wrong("a string"))?;
        visitor.visit_borrowed_str(text).map_err(|failure| self.locate(failure))
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == AT {
            let index = self.index;
            return visitor.visit_seq(Pair { token: Some(index), value: Some(self) });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.kind() != Kind::Array {
            return Err(self.wrong("a list"));
        }
        let end = self.context.tape.after(self.index);
        visitor
            .visit_seq(Items { list: self, next: self.index + 1, end })
            .map_err(|failure| self.locate(failure))
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.table(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.table(self.context.all_unknown.then_some(fields), visitor)
    }

    forward_to_deserialize_any! {
        <W: Visitor<'t>>
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum
        identifier ignored_any
    }
}

/// The entries of a table.
struct Entries<'n, 't> {
    node: Node<'n, 't>,
    /// The keys that the reader knows, if it said so.
    fields: Option<&'static [&'static str]>,
    next: usize,
    end: usize,
    value: usize,
}

impl<'n, 't> Entries<'n, 't> {
    fn new(node: &Node<'n, 't>, fields: Option<&'static [&'static str]>) -> Entries<'n, 't> {
        let end = node.context.tape.after(node.index);
        Entries { node: *node, fields, next: node.index + 1, end, value: 0 }
    }

    /// The tokens of the next key and its value.
    fn step(&mut self) -> Option<(usize, usize)> {
        let key = self.next;
        if key >= self.end {
            return None;
        }
        self.next = self.node.context.tape.after(key + 1);
        Some((key, key + 1))
    }
}

impl<'t> de::MapAccess<'t> for Entries<'_, 't> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'t>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let context = self.node.context;
        while let Some((key, value)) = self.step() {
            if context.skipped(value) {
                continue;
            }
            let tape: &'t Tape<'t> = context.tape;
            let name = tape.string(key).unwrap_or_default();
            if let Some(fields) = self.fields
                && !fields.contains(&name)
            {
                let title = format!("unknown key `{name}` {}", place(self.node.crumb));
                let problem = Problem::new(title, context.span(key), suggest(name, fields));
                context.problems.borrow_mut().push(problem);
                context.skip.borrow_mut().push(value);
                continue;
            }
            self.value = value;
            // A problem with a key is one of the table, at the place of the key.
            let here = Node { index: key, ..self.node };
            return match seed.deserialize(here) {
                Ok(key) => Ok(Some(key)),
                Err(failure) => Err(here.locate(failure).at(value)),
            };
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let name = self.node.context.tape.string(self.value - 1).unwrap_or_default();
        let crumb = Crumb { parent: self.node.crumb, name };
        let node = Node { context: self.node.context, index: self.value, crumb: Some(&crumb) };
        seed.deserialize(node).map_err(|failure| node.locate(failure).at(self.value))
    }
}

/// The entries of a list.
struct Items<'n, 't> {
    list: Node<'n, 't>,
    next: usize,
    end: usize,
}

impl<'t> de::SeqAccess<'t> for Items<'_, 't> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        while self.next < self.end {
            let index = self.next;
            self.next = self.list.context.tape.after(index);
            if self.list.context.skipped(index) {
                continue;
            }
            let crumb = Crumb { parent: self.list.crumb, name: "" };
            let node = Node { context: self.list.context, index, crumb: Some(&crumb) };
            return match seed.deserialize(node) {
                Ok(value) => Ok(Some(value)),
                Err(failure) => Err(node.locate(failure).at(index)),
            };
        }
        Ok(None)
    }

    /// Exact for a list of strings; of more involved entries it counts the parts too, which is too much rather
    /// than too little.
    fn size_hint(&self) -> Option<usize> {
        let token = self.list.context.tape.tokens.get(self.next);
        let nested = token.is_some_and(|token| matches!(token.kind, Kind::Table | Kind::Array));
        (!nested).then(|| self.end.saturating_sub(self.next))
    }
}

/// A token's index, then its value: what `document::At` reads.
struct Pair<'n, 't> {
    token: Option<usize>,
    value: Option<Node<'n, 't>>,
}

impl<'t> de::SeqAccess<'t> for Pair<'_, 't> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        if let Some(token) = self.token.take() {
            let token: U64Deserializer<Failure> = (token as u64).into_deserializer();
            return seed.deserialize(token).map(Some);
        }
        self.value.take().map(|node| seed.deserialize(node)).transpose()
    }
}
