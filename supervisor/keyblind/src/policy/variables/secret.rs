//! Whether a variable is a secret, by its name and its value: what looks like one is redacted from output.
//!
//! A secret that is missed leaks, and a word that is taken for one spoils every output in which it occurs: so a
//! name alone is not enough for values that are words, paths, hosts or numbers.

/// Parts of names, between underscores, that say "secret".
#[rustfmt::skip]
const WORDS: [&[u8]; 30] = [
    b"KEY", b"KEYS", b"APIKEY", b"TOKEN", b"TOKENS", b"SECRET", b"SECRETS", b"PASSWORD", b"PASSWORDS",
    b"PASSWD", b"PASS", b"PWD", b"PASSPHRASE", b"PASSCODE", b"PIN", b"CREDENTIAL", b"CREDENTIALS", b"CREDS",
    b"AUTH", b"AUTHORIZATION", b"BEARER", b"JWT", b"PAT", b"DSN", b"PRIVATE", b"COOKIE", b"SALT",
    b"SIGNATURE", b"WEBHOOK", b"OTP",
];

/// Ends of such parts, for names that do not separate them (`DBPASSWORD`, `apiToken`).
#[rustfmt::skip]
const ENDS: [&[u8]; 8] = [
    b"TOKEN", b"SECRET", b"PASSWORD", b"PASSWD", b"PASSPHRASE", b"APIKEY", b"CREDENTIAL", b"CREDENTIALS",
];

/// Values that are words of configuration, or passwords that are words: redacting them spoils output and hides
/// nothing.
#[rustfmt::skip]
const COMMON: [&[u8]; 58] = [
    b"access", b"account", b"always", b"amazon", b"application", b"audience", b"automatic", b"azure",
    b"bearer", b"changeme", b"client", b"default", b"delete", b"develop", b"development", b"disable",
    b"disabled", b"docker", b"enable", b"enabled", b"example", b"external", b"github", b"gitlab", b"google",
    b"hidden", b"inherit", b"internal", b"keyring", b"linux", b"localhost", b"manual", b"master", b"notset",
    b"oauth2", b"optional", b"password", b"postgres", b"postgresql", b"private", b"prompt", b"production",
    b"public", b"release", b"required", b"sandbox", b"secret", b"service", b"session", b"staging", b"string",
    b"system", b"testing", b"ubuntu", b"undefined", b"unknown", b"username", b"warning",
];

/// No word of [`COMMON`] is longer, in bytes.
const LONGEST_COMMON: usize = 11;
/// The shortest value that is ever redacted, in bytes.
const SHORTEST: usize = 6;
/// The shortest value that is redacted for its randomness alone, in bytes.
const RANDOM_LENGTH: usize = 16;
/// How random, in bits per byte.
const RANDOM_BITS: f64 = 3.5;

/// Whether a variable of this name and value looks like a secret.
pub fn looks_secret(name: &[u8], value: &[u8]) -> bool {
    if url_password(value).is_some() {
        return true;
    }
    let value = value.trim_ascii();
    !harmless(value) && (secret_name(name) || random(value))
}

/// The password of a URL (`scheme://user:password@host`), if `value` is one.
pub fn url_password(value: &[u8]) -> Option<&[u8]> {
    let scheme_end = value.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = value.split_at_checked(scheme_end)?;
    let rest = rest.get(3..)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.is_empty() || !scheme.iter().all(plain) {
        return None;
    }
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next()?;
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let (_, password) = authority.get(..at).and_then(|user| {
        let colon = user.iter().position(|byte| *byte == b':')?;
        user.split_at_checked(colon + 1)
    })?;
    (password.len() >= SHORTEST).then_some(password)
}

fn secret_name(name: &[u8]) -> bool {
    let name = name.to_ascii_uppercase();
    if name == b"PWD" || name == b"OLDPWD" {
        return false;
    }
    name.split(|byte| !byte.is_ascii_alphanumeric())
        .any(|part| WORDS.contains(&part) || ENDS.iter().any(|end| part.ends_with(end)))
}

/// Values that are not secrets whatever they are called.
fn harmless(value: &[u8]) -> bool {
    value.len() < SHORTEST || number(value) || common(value) || path(value) || host(value) || address(value)
}

fn number(value: &[u8]) -> bool {
    value.len() <= 9 && value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b','))
}

fn common(value: &[u8]) -> bool {
    let word = value.len() <= LONGEST_COMMON && value.iter().all(u8::is_ascii_alphanumeric);
    word && COMMON.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// A path, or a list of them, unless a component is as random as a key: those of AWS may begin with a slash.
fn path(value: &[u8]) -> bool {
    let begins = |start: &[u8]| value.starts_with(start);
    let path = begins(b"/") || begins(b"./") || begins(b"../") || begins(b"~/");
    path && !value.split(|byte| matches!(byte, b'/' | b':')).any(key_like)
}

fn key_like(component: &[u8]) -> bool {
    component.len() >= 20
        && component.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'='))
        && component.iter().any(u8::is_ascii_uppercase)
        && component.iter().any(u8::is_ascii_lowercase)
        && component.iter().any(u8::is_ascii_digit)
}

/// `db.example.org`, with or without a port.
fn host(value: &[u8]) -> bool {
    let name = match value.iter().rposition(|byte| *byte == b':') {
        Some(colon) if value.iter().skip(colon + 1).all(u8::is_ascii_digit) => {
            value.get(..colon).unwrap_or_default()
        }
        _ => value,
    };
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let top = labels.last().is_some_and(|top| top.len() <= 24 && top.iter().all(u8::is_ascii_lowercase));
    labels.len() > 1
        && top
        && labels.iter().all(|label| !label.is_empty() && label.len() <= 32 && label.iter().all(plain))
}

/// `jo@example.org`
fn address(value: &[u8]) -> bool {
    let Some(at) = value.iter().position(|byte| *byte == b'@') else { return false };
    let (user, rest) = value.split_at(at);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    !user.is_empty() && user.iter().all(plain) && rest.get(1..).is_some_and(host)
}

/// Made by a generator: one token of letters and digits, in which little repeats.
fn random(value: &[u8]) -> bool {
    let token = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-' | b'.' | b'~')
    };
    value.len() >= RANDOM_LENGTH
        && value.iter().all(token)
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
        && bits_per_byte(value) >= RANDOM_BITS
}

/// Shannon's entropy of the bytes of `value`.
fn bits_per_byte(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let length = value.len().max(1) as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / length;
        -share * libm::log2(share)
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secret: bool, name: &str, value: &str) {
        assert_eq!(looks_secret(name.as_bytes(), value.as_bytes()), secret, "{name}={value}");
    }

    #[test]
    fn names_say_it() {
        for name in [
            "API_KEY",
            "SLACK_TOKEN",
            "DB_PASSWORD",
            "DBPASSWORD",
            "apiToken",
            "GH_PAT",
            "SENTRY_DSN",
            "RSA_PRIVATE",
            "BASIC_AUTH",
            "aws_secret_access_key",
            "MYSQL_PWD",
            "STRIPE.SECRET",
            "X_CREDENTIALS",
        ] {
            check(true, name, "hunter2-hunter2");
        }
        for name in
            ["MONKEY", "KEYBOARD", "GIT_AUTHOR_NAME", "PASSENGER", "TOKENIZER", "COMPASS", "PWD", "SPINNER"]
        {
            check(false, name, "hunter2-hunter2");
        }
    }

    #[test]
    fn harmless_values_are_not_secrets_whatever_their_name() {
        for value in [
            "",
            "short",
            "production",
            "True",
            "Password",
            "86400",
            "3.14159",
            "1,000,000",
            "/home/jo/.ssh/id_rsa",
            "./keys/app.pem",
            "~/keys",
            "db.example.org",
            "db.example.org:5432",
            "jo@example.org",
            "  none ",
            "/usr/share/really-long-directory-name-with-2-digits/x",
        ] {
            check(false, "API_KEY", value);
        }
    }

    #[test]
    fn no_common_word_is_too_long_to_be_found() {
        assert_eq!(COMMON.iter().map(|word| word.len()).max(), Some(LONGEST_COMMON));
    }

    #[test]
    fn values_say_it() {
        check(true, "A", "postgres://app:s3cr3t-pw@db/app");
        check(true, "A", "redis://:s3cr3t-pw@cache:6379/0");
        check(false, "A", "https://example.org/a:b@c");
        check(false, "A", "postgres://app@db/app");
        check(false, "A", "user:pass");
        check(true, "A", "q8Zt1Xv7Lk3Pw9Rb2Ym5");
        check(false, "A", "aaaaaaaaaaaaaaa1");
        check(false, "A", "a-long-name-of-a-thing");
        check(false, "A", "two words and 1 more, in a sentence");
        check(true, "API_KEY", "correct horse battery staple");
        // A key of 40 characters may begin with a slash and look like a path at first sight.
        check(true, "AWS_SECRET_ACCESS_KEY", &format!("/{}/{}", "Zt1Xv7Lk3Pw9Rb2Ym5Qd8Hs4", "c6"));
    }

    #[test]
    fn passwords_of_urls() {
        let password =
            |url: &str| url_password(url.as_bytes()).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(password("amqp://u:p@ss:word@host/v").as_deref(), Some("p@ss:word"));
        assert_eq!(password("://u:password@h"), None);
        assert_eq!(password("h ttp://u:password@h"), None);
        assert_eq!(password("http://u:short@h"), None);
        assert_eq!(password("http://h/?q=a:password@b"), None);
    }
}
