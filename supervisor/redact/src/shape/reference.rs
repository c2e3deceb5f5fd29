//! Values that are no secrets: references to one, placeholders for one, masks of one.

/// Beginnings of references and placeholders, by their first byte in lower case.
fn beginnings(first: u8) -> &'static [&'static str] {
    match first {
        b'$' => &["${", "$(", "$env", "$$"],
        b'{' => &["{{", "{%", "{}"],
        b'%' => &["%{", "%(", "%s", "%v", "%d", "%q"],
        b'#' => &["#{"],
        b'@' => &["@{", "@azure.keyvault", "@secure"],
        b'<' => &["<"],
        b'&' => &["&lt;", "&mut ", "&self", "&str"],
        b'[' => &["[redacted", "[hidden", "[masked", "[filtered", "[secure"],
        b'(' => &["(redacted", "(hidden", "(sensitive", "(none", "(not "],
        b'*' => &["***"],
        b'.' => &["..."],
        b'!' => &["!ref", "!sub", "!env", "!vault", "!secret", "!getatt"],
        b'a' => &["arn:", "args.", "await ", "app.config"],
        b'c' => &["config.", "config[", "ctx.", "changeme", "change_me", "change-me", "cfg."],
        b'd' => &["data.", "dummy"],
        b'e' => &["env.", "env(", "env:", "env[", "enc[", "environ", "encrypted:"],
        b'f' => &["file:", "false", "foobar", "fake"],
        b'g' => &["getenv", "get_env", "generate"],
        b'h' => &["http://", "https://"],
        b'i' => &["import.meta", "insert"],
        b'k' => &["keychain:"],
        b'l' => &["local."],
        b'm' => &["module."],
        b'n' => &["null", "none", "nil", "new "],
        b'o' => &["os.", "op://", "opts.", "options."],
        b'p' => &["process.", "props.", "params.", "placeholder"],
        b'r' => &["redacted", "ref:", "ref+", "request.", "req.", "replace"],
        b's' => &[
            "self.",
            "settings.",
            "secrets.",
            "system.",
            "ssm:",
            "secretkeyref",
            "sops:",
            "some-",
            "some_",
            "sample",
        ],
        b't' => &["this.", "true", "todo"],
        b'u' => &["undefined"],
        b'v' => &["var.", "vault:", "vault.", "valuefrom"],
        b'x' => &["xxx"],
        b'y' => &["your-", "your_", "your ", "yourp", "yours", "yourt", "yourk"],
        0xe2 => &["\u{2026}", "\u{2022}\u{2022}"],
        _ => &[],
    }
}

/// Whether `value` says where a secret is, or stands for one, and is none itself.
pub(crate) fn is_reference(value: &[u8]) -> bool {
    let Some(first) = value.first() else { return true };
    let begins =
        |word: &&str| value.get(..word.len()).is_some_and(|v| v.eq_ignore_ascii_case(word.as_bytes()));
    if beginnings(first.to_ascii_lowercase()).iter().any(begins) {
        return true;
    }
    if value.len() < 16 && value.get(..7).is_some_and(|v| v.eq_ignore_ascii_case(b"example"))
        || value.len() < 12 && value.get(..6).is_some_and(|v| v.eq_ignore_ascii_case(b"abc123"))
    {
        return true;
    }
    // `$NAME`, `$name`: a variable, as long as nothing but a name follows.
    if let Some(name) = value.strip_prefix(b"$")
        && name.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'$'))
    {
        let end = name.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(name.len());
        let rest = &name[end..];
        if matches!(rest.first(), None | Some(b'.' | b'[' | b'('))
            || rest.starts_with(b"->")
            || rest.starts_with(b"::")
        {
            return true;
        }
    }
    let inner = value.strip_prefix(b"%").and_then(|v| v.strip_suffix(b"%"));
    let windows = inner.is_some_and(|v| v.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_'));
    let fill = value.iter().filter(|b| matches!(b, b'*' | b'.' | b'x' | b'X' | b'#' | b'-')).count();
    windows
        || fill * 3 > value.len() * 2
        || value.windows(2).any(|pair| matches!(pair, b"${" | b"{{" | b"#{" | b"$("))
}

#[cfg(test)]
mod tests {
    use super::is_reference;

    #[test]
    fn references_and_secrets() {
        for value in [
            "${X}",
            "$HOME",
            "$(pass x)",
            "{{ token }}",
            "os.environ[\"X\"]",
            "process.env.X",
            "<token>",
            "********",
            "%APPDATA%",
            "op://vault/x",
            "",
        ] {
            assert!(is_reference(value.as_bytes()), "{value}");
        }
        for value in ["hunter2", "$ecret-9", "s3lf-made", "Tr0ub4dor&3", "%x7a", "a1b2c.d-e3"] {
            assert!(!is_reference(value.as_bytes()), "{value}");
        }
    }
}
