//! The kinds of values that a policy file has beside strings, numbers and lists.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::decode::AT;
use super::super::{Named, SocketUse};
use super::SocketDoc;

/// A value and the index of its token, from which come its span and its line. Only `decode` can produce one.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct At<T> {
    pub(in super::super) value: T,
    pub(in super::super) token: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<At<T>, D::Error> {
        struct Pair<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pair<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a policy file")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<At<T>, A::Error> {
                let none = || de::Error::invalid_length(0, &"a place and a value");
                let token: u64 = pair.next_element()?.ok_or_else(none)?;
                let token = usize::try_from(token).map_err(de::Error::custom)?;
                Ok(At { value: pair.next_element()?.ok_or_else(none)?, token })
            }
        }
        deserializer.deserialize_newtype_struct(AT, Pair(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// One of the words of `T`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Name<T>(pub(in super::super) T);

impl<'de, T: Named> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<T>, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
        T::from_name(name).map(Name).ok_or_else(|| de::Error::unknown_variant(name, T::NAMES))
    }
}

impl<T: Named> JsonSchema for Name<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        std::any::type_name::<T>().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": T::NAMES })
    }
}

/// A table of which the keys are names that the operator chose, in the order of the names.
#[derive(Debug)]
pub(in super::super) struct Entries<'a, V>(pub(in super::super) Vec<(At<&'a str>, V)>);

impl<V> Default for Entries<'_, V> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Entries<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<'a, V>(PhantomData<(&'a (), V)>);
        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Table<'a, V> {
            type Value = Entries<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Table(PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Entries<'_, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("EntriesOf{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<V>() })
    }
}

/// An amount of bytes: a whole number, or a number with a unit such as `512 MiB`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Bytes(pub(in super::super) u64);

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1000 * 1000),
    ("MiB", 1 << 20),
    ("GB", 1000 * 1000 * 1000),
    ("GiB", 1 << 30),
    ("TB", 1000 * 1000 * 1000 * 1000),
    ("TiB", 1 << 40),
];

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Amount;
        impl Visitor<'_> for Amount {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes as a whole number, or a string such as \"512 MiB\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
                u64::try_from(number).map(Bytes).map_err(|_error| E::custom("expected 0 or more"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                with_unit(text, &UNITS).map(Bytes).ok_or_else(|| {
                    E::custom("expected a whole number and a unit: B, kB, KiB, MB, MiB, GB, GiB, TB or TiB")
                })
            }
        }
        deserializer.deserialize_any(Amount)
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+ *([kMGT]?B|[KMGT]iB)$" }
            ]
        })
    }
}

/// A length of time: a whole number and a unit, such as `30s`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Period(pub(in super::super) Duration);

const PERIODS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Period {
    /// Reads `30s`, `500ms`, `5m`, `1h` or `2d`; more than nothing.
    pub(in super::super) fn parse(text: &str) -> Option<Duration> {
        with_unit(text, &PERIODS).filter(|millis| *millis > 0).map(Duration::from_millis)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Period::parse(text)
            .map(Period)
            .ok_or_else(|| de::Error::custom("expected a whole number above 0 and a unit: ms, s, m, h or d"))
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$" })
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// How much of a service: a word, or a table.
#[derive(Debug)]
pub(in super::super) enum RuleOfSocket<'a> {
    Word(SocketUse),
    Table(SocketDoc<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for RuleOfSocket<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;
        impl<'de> Visitor<'de> for Rule {
            type Value = RuleOfSocket<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, or a table { use, commands, reason }")
            }

            fn visit_borrowed_str<E: de::Error>(self, word: &'de str) -> Result<Self::Value, E> {
                let Name(usage) = Name::deserialize(BorrowedStrDeserializer::new(word))?;
                Ok(RuleOfSocket::Word(usage))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                SocketDoc::deserialize(MapAccessDeserializer::new(map)).map(RuleOfSocket::Table)
            }
        }
        deserializer.deserialize_any(Rule)
    }
}

impl JsonSchema for RuleOfSocket<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RuleOfSocket".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = Name::<SocketUse>::json_schema(generator);
        json_schema!({ "anyOf": [word, generator.subschema_for::<SocketDoc<'_>>()] })
    }
}
