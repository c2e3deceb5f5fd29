//! Readers of single strings. Each error is a clause about the string, which whoever reports it quotes.

use super::super::problem::one_of;
use super::super::{Named, NetworkDeny, PathPattern, Reference, Scheme, Sink, ToolResult};

/// A variable's name, as execve(2) and shells can pass it.
pub(super) fn variable(name: &str) -> Result<(), String> {
    match name {
        "" => Err("is empty".into()),
        _ if name.contains(['=', '\0']) => Err("holds `=` or a NUL byte".into()),
        _ if name.contains('*') => Err("holds `*`; name one variable".into()),
        _ => Ok(()),
    }
}

/// The name of an environment, a secret, a tool, a parameter, a guard or a rule.
pub(super) fn key(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > 80 || !name.bytes().all(plain) {
        return Err("is not a name; letters, digits, `_`, `-` and `.` only, at most 80".into());
    }
    Ok(())
}

/// The name of a command, without its directory.
pub(super) fn command_name(name: &str) -> Result<String, String> {
    match name {
        "" => Err("is empty".into()),
        _ if name.contains('/') => Err("holds `/`; write the command's name only".into()),
        _ => Ok(name.to_owned()),
    }
}

/// `metadata`, an address, or a network with its prefix length.
pub(super) fn network(text: &str) -> Result<NetworkDeny, String> {
    text.parse()
}

/// `journald`, `ocsf:FILE` or `otlp:URL`.
pub(super) fn sink(text: &str) -> Result<Sink, String> {
    match text.split_once(':') {
        None if text == "journald" => Ok(Sink::Journald),
        Some(("ocsf", path)) => PathPattern::new(path)
            .map_err(|why| format!("names a file that {why}"))
            .and_then(|path| match path.has_glob() {
                true => Err("names a file with `*`; expected one file".into()),
                false => Ok(Sink::Ocsf(path)),
            }),
        Some(("otlp", url)) => self::url(url).map(|()| Sink::Otlp(url.to_owned())),
        _ => Err("is not a sink; expected `journald`, `ocsf:FILE` or `otlp:URL`".into()),
    }
}

/// A place that secrets come from.
pub(super) fn source(text: &str) -> Result<Reference, String> {
    let reference = self::reference(text)?;
    match (reference.scheme, reference.rest.as_str()) {
        (Scheme::Store | Scheme::Env, "") => {}
        (Scheme::Store | Scheme::Env, _) => return Err("needs nothing after the scheme".into()),
        (Scheme::Vault, rest) => self::url(rest)?,
        (Scheme::Aws, "") => return Err("lacks a region, as in `aws:eu-central-1`".into()),
        (Scheme::Aws, _) => {}
        (Scheme::Dotenv | Scheme::File | Scheme::Command, path) => {
            PathPattern::new(path).map_err(|why| format!("names a path that {why}"))?;
        }
    }
    Ok(reference)
}

/// A secret within a source.
pub(super) fn secret(text: &str) -> Result<Reference, String> {
    let reference = self::reference(text)?;
    if reference.rest.is_empty() {
        let scheme = reference.scheme.name();
        return Err(format!("lacks the secret's name there, as in `{scheme}:NAME`"));
    }
    Ok(reference)
}

fn reference(text: &str) -> Result<Reference, String> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let scheme = Scheme::from_name(scheme)
        .ok_or_else(|| format!("does not begin with a source; {}", one_of(Scheme::NAMES)))?;
    Ok(Reference { scheme, rest: rest.to_owned() })
}

/// `status`, `fields:A,B` or `text`.
pub(super) fn result(text: &str) -> Result<ToolResult, String> {
    match text.split_once(':') {
        None if text == "status" => Ok(ToolResult::Status),
        None if text == "text" => Ok(ToolResult::Text),
        Some(("fields", names)) => {
            let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
            match names.iter().any(String::is_empty) {
                true => Err("names an empty field".into()),
                false => Ok(ToolResult::Fields(names)),
            }
        }
        _ => Err("is not a result; expected `status`, `fields:A,B` or `text`".into()),
    }
}

/// A host name, as a broker's grant names it: no scheme, no port, no path.
pub(super) fn host(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let labels =
        text.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    match text.bytes().all(plain) && labels && text.len() <= 253 {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("is not a host name; write it without scheme, port and path".into()),
    }
}

fn url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            match authority.contains('@') {
                true => Err("holds a password; policy files hold no secrets".into()),
                false => Ok(()),
            }
        }
        _ => Err("does not name an http:// or https:// address".into()),
    }
}

/// The last line of the regex crate's message: the lines before it draw the pattern, as our caret does.
pub(super) fn regex_error(error: regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", last.trim_start_matches("error: "))
}
