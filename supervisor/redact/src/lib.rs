//! The streaming redactor: hides known secrets, in the forms that programs write them in, and text of
//! the shape of a secret, in a stream of bytes.
//!
//! ```
//! use keyblind_redact::Matcher;
//!
//! let matcher = Matcher::builder().needle("DB_PASSWORD", b"corr3ct-horse").build();
//! let mut redactor = matcher.redactor();
//! let mut out = Vec::new();
//! let mut hits = redactor.push(b"connecting with corr3ct-ho", &mut out).len();
//! assert_eq!(out, b"connecting with ", "what may become a secret is held");
//! hits += redactor.push(b"rse ...\n", &mut out).len();
//! hits += redactor.finish(&mut out).len();
//! assert_eq!(out, b"connecting with [REDACTED:DB_PASSWORD] ...\n");
//! assert_eq!(hits, 1);
//! ```
//!
//! What holds, for any input and any set of needles:
//! - the output and the set of hits are the same for every way to cut the input into pushes;
//! - without a hit the output is the input, byte for byte, also where it is no text at all;
//! - no needle is in the output in any encoding that is asked for;
//! - nothing is held that cannot become a hit any more, and nothing is released by a timer;
//! - memory is bounded: a stream keeps at most 64 KiB and what it holds, which is less than the longest
//!   needle in its longest form (16 KiB) or 1 KiB for a shape. Longer tokens are hidden as they pass.
//!
//! What it cannot do: a program that *has* a secret can write it in a form that nobody lists.
//! Everything here is computation: no I/O, no clock, no threads. With the feature `tracing` there is also a
//! writer that stands between `tracing_subscriber::fmt` and where its lines go.

#![forbid(unsafe_code)]

mod clean;
mod encode;
mod escape;
mod hit;
mod json;
#[cfg(feature = "tracing")]
mod layer;
mod literal;
mod matcher;
mod scan;
mod shape;
mod stream;
mod vet;
mod windows;

#[cfg(test)]
mod tests;

pub use encode::{Encodings, UnknownEncoding};
pub use hit::{Encoding, Hit, HitKind, Hits};
pub use json::JsonRedactor;
#[cfg(feature = "tracing")]
pub use layer::{RedactedEvent, RedactingWriter};
pub use matcher::{Builder, Mark, Matcher, Shapes};
pub use shape::{Confidence, OperatorRule, Rule, RuleError, rules};
pub use stream::Redactor;
pub use vet::{SkipReason, Skipped};
