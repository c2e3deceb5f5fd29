//! Transcripts: variables as they come in, and what becomes of each.

use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::super::{BuiltIn, Source};
use super::*;

fn default() -> Policy {
    BuiltIn::Default.policy().unwrap()
}

fn operator(text: &str) -> Policy {
    let source = Source::File(Path::new("/p.toml").into());
    Policy::parse(&format!("version = 1\n{text}"), &source).unwrap_or_else(|report| panic!("{report}"))
}

fn variables(given: &str) -> Vec<(OsString, OsString)> {
    let pairs = given.lines().filter_map(|line| line.trim().split_once('='));
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

/// What a command gets, one `NAME=value` per line, then what it does not get, one `- NAME why` per line, with `!`
/// for what looks secret.
fn transcript(policy: &Policy, given: &str, extra: &[&str]) -> String {
    let extra: Vec<String> = extra.iter().map(|name| (*name).to_owned()).collect();
    let scrubbed = scrub(policy, variables(given), &extra).unwrap();
    let mut lines = Vec::new();
    for (name, value) in scrubbed.kept {
        lines.push(format!("{}={}", name.display(), value.display()));
    }
    for dropped in scrubbed.dropped {
        let mark = if dropped.secret_looking { "!" } else { "" };
        lines.push(format!("- {}{mark} {}", dropped.name.display(), dropped.why));
    }
    lines.join("\n")
}

fn line(text: &str, of: &str) -> usize {
    text.lines().position(|line| line.contains(of)).unwrap() + 1
}

#[test]
fn the_default_keeps_what_programs_need_and_drops_the_rest() {
    let text = BuiltIn::Default.text();
    let never = line(text, "\"LD_*\"");
    let check = line(text, "EDITOR");
    let set = line(text, "HISTFILE");
    let given = "
        PATH=/usr/bin:/bin
        LC_ALL=C.UTF-8
        LD_PRELOAD=/tmp/x.so
        OPENAI_API_KEY=not-a-real-key-1
        EDITOR=vi
        HTTPS_PROXY=http://jo:not-a-real-pw@proxy:8080
        HTTP_PROXY=http://proxy:8080
        HISTFILE=/home/jo/.bash_history
        DATABASE_URL=postgres://app:not-a-real-pw@db/app
        XDG_CONFIG_HOME=/home/jo/.config
        XDG_RUNTIME_DIR=/run/user/1000
        PATH=/tmp/evil
        AWS_PROFILE=work";
    assert_eq!(
        transcript(&default(), given, &[]),
        format!(
            "PATH=/usr/bin:/bin\n\
             LC_ALL=C.UTF-8\n\
             EDITOR=vi\n\
             HTTP_PROXY=http://proxy:8080\n\
             XDG_CONFIG_HOME=/home/jo/.config\n\
             GIT_TERMINAL_PROMPT=0\n\
             HISTFILE=/dev/null\n\
             - LD_PRELOAD variables.never `LD_*` (built-in default.toml:{never})\n\
             - OPENAI_API_KEY! variables.keep does not name it\n\
             - HTTPS_PROXY! its value does not match variables.check (built-in default.toml:{check})\n\
             - HISTFILE variables.set gives it another value (built-in default.toml:{set})\n\
             - DATABASE_URL! variables.keep does not name it\n\
             - XDG_RUNTIME_DIR variables.keep does not name it\n\
             - PATH its name came before\n\
             - AWS_PROFILE variables.keep does not name it"
        )
    );
}

#[test]
fn options_keep_more_but_never_what_is_never_kept() {
    let given = "AWS_PROFILE=work\nEDITOR=vi -c x\nLD_PRELOAD=/x.so";
    assert_eq!(
        transcript(&default(), given, &["AWS_PROFILE", "EDITOR", "NOT_THERE"])
            .lines()
            .take(2)
            .collect::<Vec<_>>(),
        ["AWS_PROFILE=work", "EDITOR=vi -c x"]
    );
    let refused = |policy: &Policy, name: &str| {
        scrub(policy, variables(given), &[name.to_owned()]).map(|_| ()).unwrap_err().to_string()
    };
    let never = line(BuiltIn::Default.text(), "\"LD_*\"");
    assert_eq!(
        refused(&default(), "LD_PRELOAD"),
        format!("LD_PRELOAD can never be kept: variables.never `LD_*` (built-in default.toml:{never})")
    );
    assert_eq!(
        refused(&default(), "A=not-shown"),
        "\"A\" is not the name of a variable; write the name only, without a value"
    );
    let mut locked = default();
    locked.locked = true;
    assert_eq!(
        refused(&locked, "AWS_PROFILE"),
        "AWS_PROFILE is not kept by the host's policy, which is locked; its owner could add it to variables.keep"
    );
    assert!(scrub(&locked, variables(given), &["PATH".to_owned(), "EDITOR".to_owned()]).is_ok());
}

#[test]
fn an_operator_adds_takes_out_and_sets() {
    let policy = operator(
        "[variables]\nkeep = [\"!PATH\", \"MY_*\"]\nset = { MY_SET = \"1\", \"!HISTFILE\" = \"\" }\n\
         check = { MY_CHECKED = \"^[0-9]+$\" }\nnever = [\"MY_NEVER\"]",
    );
    let given = "PATH=/bin\nMY_A=a\nMY_SET=2\nMY_CHECKED=12x\nMY_NEVER=x\nHISTFILE=/h";
    assert_eq!(
        transcript(&policy, given, &[]),
        "MY_A=a\n\
         GIT_TERMINAL_PROMPT=0\n\
         MY_SET=1\n\
         - PATH variables.keep does not name it\n\
         - MY_SET variables.set gives it another value (/p.toml:4)\n\
         - MY_CHECKED its value does not match variables.check (/p.toml:5)\n\
         - MY_NEVER variables.never `MY_NEVER` (/p.toml:6)\n\
         - HISTFILE variables.keep does not name it"
    );
}

#[test]
fn a_never_that_is_added_later_holds_for_what_the_default_sets() {
    let policy = operator("[variables]\nnever = [\"HIST*\"]");
    let scrubbed = scrub(&policy, variables(""), &[]).unwrap();
    assert_eq!(scrubbed.set, 1);
    assert_eq!(scrubbed.kept, [("GIT_TERMINAL_PROMPT".into(), "0".into())]);
}

#[test]
fn bytes_that_are_not_utf8_survive() {
    let name = OsString::from_vec(b"LC_\xff".to_vec());
    let value = OsString::from_vec(b"\xfe\x00x".to_vec());
    let secret = OsString::from_vec(b"API_KEY_\xff".to_vec());
    let given = vec![
        (name.clone(), value.clone()),
        (secret.clone(), OsString::from_vec(b"\xfe\xfe\xfe\xfe\xfe\xfe".to_vec())),
    ];
    let scrubbed = scrub(&default(), given, &[]).unwrap();
    assert_eq!(scrubbed.kept.first(), Some(&(name, value)));
    let dropped = scrubbed.dropped.first().unwrap();
    assert_eq!((&dropped.name, dropped.secret_looking), (&secret, true));
}

#[test]
fn needles_are_values_and_passwords_of_urls_and_are_not_shown() {
    let scrubbed = scrub(&default(), variables("U=db://app:not-a-real-pw@h\nSHELLX=bash-5.2"), &[]).unwrap();
    let needles: Vec<&[u8]> = scrubbed.dropped.iter().flat_map(Dropped::needles).collect();
    assert_eq!(needles, [b"db://app:not-a-real-pw@h".as_slice(), b"not-a-real-pw"]);
    assert!(!format!("{:?}", scrubbed.dropped).contains("not-a-real-pw"));
}
