//! What is executed, and the variables that name its user.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::host::Person;

/// Where commands are looked for when no PATH is kept (execvp(3) and confstr(3) agree on this much).
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The files that `command` may stand for, in the order in which they are tried. The search happens in the run's
/// tree, where it is executed.
pub fn candidates(command: &OsStr, variables: &[(OsString, OsString)]) -> Vec<OsString> {
    let bytes = command.as_bytes();
    if bytes.is_empty() || bytes.contains(&b'/') {
        return vec![command.to_owned()];
    }
    let path = variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    path.unwrap_or_else(|| DEFAULT_PATH.into())
        .as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            // An empty entry is the working directory (POSIX, XBD 8.3).
            let mut candidate = if directory.is_empty() { b".".to_vec() } else { directory.to_vec() };
            candidate.push(b'/');
            candidate.extend_from_slice(bytes);
            OsString::from_vec(candidate)
        })
        .collect()
}

/// HOME, USER and LOGNAME of the run's user, where keyblind changed users: the caller's would name root.
pub fn home_variables(person: &Person) -> Vec<(OsString, OsString)> {
    if !person.switch {
        return Vec::new();
    }
    let name = person.name.clone().unwrap_or_else(|| person.uid.to_string());
    let home = person.home.clone().unwrap_or_else(|| PathBuf::from("/"));
    vec![
        ("HOME".into(), home.into_os_string()),
        ("USER".into(), name.clone().into()),
        ("LOGNAME".into(), name.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_is_and_a_name_is_looked_for() {
        let check = |command: &str, path: Option<&str>, expect: &[&str]| {
            let variables: Vec<_> = path.map(|path| ("PATH".into(), path.into())).into_iter().collect();
            assert_eq!(candidates(OsStr::new(command), &variables), expect, "{command} in {path:?}");
        };
        check("./x", Some("/a"), &["./x"]);
        check("/bin/x", None, &["/bin/x"]);
        check("x", Some("/a:/b/"), &["/a/x", "/b//x"]);
        check("x", Some("/a::/b"), &["/a/x", "./x", "/b/x"]);
        check("x", None, &["/usr/local/bin/x", "/usr/bin/x", "/bin/x"]);
        check("", Some("/a"), &[""]);
    }
}
