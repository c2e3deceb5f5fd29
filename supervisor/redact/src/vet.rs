//! Which values may be needles.

use std::fmt;
use std::sync::Arc;

/// The shortest value that is looked for, in bytes. A shorter one stands in ordinary text too often.
pub(crate) const MIN_LEN: usize = 6;
/// The longest value that is looked for as a whole, in bytes: it bounds what a stream may hold back.
pub(crate) const MAX_LEN: usize = 16 * 1024;

/// Why a value was not taken as a needle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Fewer bytes than the minimum.
    TooShort {
        /// The minimum, in bytes.
        min: usize,
    },
    /// More bytes than the maximum, and no line of it can stand by itself.
    TooLong {
        /// The maximum, in bytes.
        max: usize,
    },
    /// A word or number that ordinary output is full of.
    Common,
    /// One character repeated.
    Repeated,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::TooShort { min } => write!(f, "shorter than {min} bytes"),
            SkipReason::TooLong { max } => write!(f, "longer than {max} bytes"),
            SkipReason::Common => f.write_str("a common word or number"),
            SkipReason::Repeated => f.write_str("one character repeated"),
        }
    }
}

/// A needle that is not looked for, by name, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The needle's name.
    pub name: Arc<str>,
    /// Why its value cannot be looked for.
    pub reason: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not redacted: its value is {}", self.name, self.reason)
    }
}

/// Why `value`, already trimmed, cannot be a needle; `None` when it can.
pub(crate) fn refuse(value: &[u8]) -> Option<SkipReason> {
    if value.len() < MIN_LEN {
        return Some(SkipReason::TooShort { min: MIN_LEN });
    }
    if value.iter().all(|b| Some(b) == value.first()) {
        return Some(SkipReason::Repeated);
    }
    let number = value.len() < 9 && value.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    if number || COMMON.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(value)) {
        return Some(SkipReason::Common);
    }
    None
}

/// Values of variables that are no secrets even under a secret's name, from six letters on.
const COMMON: &[&str] = &[
    "access",
    "admin1",
    "administrator",
    "anonymous",
    "api_key",
    "apikey",
    "bearer",
    "changeit",
    "changeme",
    "client",
    "config",
    "credential",
    "credentials",
    "database",
    "default",
    "deploy",
    "develop",
    "development",
    "disable",
    "disabled",
    "docker",
    "enable",
    "enabled",
    "example",
    "foobar",
    "github",
    "gitlab",
    "hidden",
    "localhost",
    "master",
    "mysecret",
    "nobody",
    "password",
    "passwd",
    "password1",
    "placeholder",
    "postgres",
    "postgresql",
    "private",
    "prod-db",
    "production",
    "public",
    "redacted",
    "[redacted]",
    "required",
    "secret",
    "secrets",
    "server",
    "service",
    "staging",
    "string",
    "system",
    "test123",
    "testing",
    "testtest",
    "ubuntu",
    "undefined",
    "unknown",
    "user123",
    "username",
    "version",
    "your-api-key",
    "your_api_key",
    "https://",
    "http://",
    "127.0.0.1",
    "0.0.0.0",
    "application/json",
    "text/plain",
    "bin/sh",
    "/bin/sh",
    "/bin/bash",
    "xterm-256color",
    "en_us.utf-8",
    "c.utf-8",
    "nologin",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "abc123",
    "qwerty",
    "letmein",
    "welcome",
    "monkey",
    "dragon",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_would_mask_ordinary_text() {
        let check =
            |value: &str, expect: Option<SkipReason>| assert_eq!(refuse(value.as_bytes()), expect, "{value}");
        check("hunt5", Some(SkipReason::TooShort { min: MIN_LEN }));
        check("Production", Some(SkipReason::Common));
        check("********", Some(SkipReason::Repeated));
        check("80808080", Some(SkipReason::Common));
        check("hunter", None);
        check("correct horse battery", None);
    }
}
