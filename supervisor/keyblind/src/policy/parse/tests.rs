use std::path::Path;

use proptest::prelude::*;

use super::super::{
    BuiltIn, Encoding, Mode, NetworkMode, PathPattern, Slice, Socket, SocketUse, guards_text,
};
use super::*;

fn source() -> Source {
    Source::File(Path::new("/p.toml").into())
}

fn parsed(text: &str) -> Policy {
    Policy::parse(text, &source()).unwrap_or_else(|report| panic!("{report}"))
}

/// Lines of built-in files change with every edit.
fn without_lines_of_built_ins(text: &str) -> String {
    let lines = regex::Regex::new("(built-in [a-z]+\\.toml):[0-9]+").unwrap();
    lines.replace_all(text, "$1:N").into_owned()
}

#[test]
fn every_mistake_is_shown_with_its_line_and_its_cure() {
    let cases = include_str!("mistakes.txt");
    let mut count = 0;
    for case in cases.split("\n== ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("--\n").unwrap();
        let text = text.replace('␛', "\u{1b}");
        let report = Policy::parse(&text, &source()).expect_err(name).to_string();
        assert_eq!(without_lines_of_built_ins(&report), expected.trim_end(), "case: {name}");
        count += 1;
    }
    assert!(count > 30, "{count} cases");
}

#[test]
fn a_file_with_hundreds_of_mistakes_is_answered_at_once() {
    let text = "[[guard]]\nid = 1\n".repeat(5000);
    let report = Policy::parse(&text, &source()).unwrap_err();
    assert_eq!(report.origins().count(), 20);
}

#[test]
fn every_key_is_read() {
    let policy = parsed(
        r#"
version = 1
extends = "strict"
mode = "audit"
[tier]
minimum = "mount"
layers = { bpf_lsm = "require", cgroup = "off" }
[run]
user = "agent"
hint = false
environment = "staging"
limits = { processes = 10, open_files = 20, core = 0, memory = "1 GiB", cpu = "10m", timeout = "500ms" }
[variables]
keep = ["A"]
check = { B = "^b$" }
set = { C = "c" }
never = ["D"]
[files]
write = ["~/w"]
caches = ["~/c"]
cache_mode = "share"
read = ["/r/*"]
late_names = "existing-only"
[procfs]
debug = true
[network]
mode = "none"
deny = ["192.0.2.1", "2001:db8::/32"]
[sockets]
docker = { use = "allow", reason = "builds images", commands = ["docker"] }
[devices]
allow = ["gpu"]
[redact]
mark = "plain"
format = "jsonl"
encodings = ["!reverse"]
written_files = "redact"
[[redact.rule]]
id = "r"
pattern = "zzz<digit 2..>"
keyword = "zz"
reason = "ours"
examples = ["zzz12"]
counter_examples = ["zzz"]
[events]
store = "~/events"
keep = { days = 7, bytes = 1000 }
also = ["ocsf:/var/log/x", "otlp:https://collector.example"]
on_denied = "stop-session"
[host]
always = ["agents.slice"]
flag = ["user.slice/user-1000.slice"]
flags_per_minute = 5
[environment.staging]
sources = ["vault:https://vault.example", "store"]
principal = "svc"
[secret.S]
from = { staging = "vault:kv/s#t" }
[tool.t]
description = "does it"
command = ["/bin/t", "-x"]
params = { p = { type = "integer", min = -1, max = 5, optional = true } }
grants = [{ secret = "S", deliver = "broker", hosts = ["API.example"] }]
result = "fields:a, b"
network = { mode = "host" }
limits = { timeout = "30s", per_minute = 2 }
"#,
    );
    assert_eq!((policy.mode.value, policy.mode.origin.to_string().as_str()), (Mode::Audit, "/p.toml:4"));
    holds(&format!("{:?}", policy.run.limits), "value: 1073741824");
    holds(&format!("{:?}", policy.run.limits), "value: 500ms");
    assert_eq!(policy.run.user.as_ref().unwrap().value, "agent");
    assert_eq!(policy.network.mode.value, NetworkMode::None);
    let denied: Vec<String> = policy.network.deny.iter().map(|deny| deny.value.to_string()).collect();
    assert_eq!(denied, ["metadata", "192.0.2.1", "2001:db8::/32"]);
    assert_eq!(policy.sockets.get(Socket::Docker).usage.value, SocketUse::Allow);
    assert_eq!(policy.sockets.get(Socket::SshAgent).usage.value, SocketUse::Absent, "from strict");
    assert!(!policy.redact.encodings.iter().any(|encoding| encoding.value == Encoding::Reverse));
    assert_eq!(policy.redact.encodings.len(), 8);
    let slices = |list: &[crate::policy::Located<Slice>]| -> Vec<String> {
        list.iter().map(|slice| slice.value.to_string()).collect()
    };
    assert_eq!(slices(&policy.host.always), ["agents.slice"]);
    assert_eq!(slices(&policy.host.flag), ["user.slice/user-1000.slice"]);
    assert_eq!(policy.host.flags_per_minute.value, 5);
    let tool = &policy.tools.get("t").unwrap().value;
    assert_eq!(tool.grants.first().unwrap().hosts.first().unwrap().value, "api.example");
    assert_eq!(policy.environments.get("staging").unwrap().value.sources.len(), 2);
    let kinds: std::collections::BTreeSet<_> = policy
        .features()
        .into_iter()
        .filter(|feature| !feature.origin.is_built_in())
        .map(|feature| feature.to_string())
        .collect();
    let expected = [
        "devices.allow `gpu`",
        "environment `staging`",
        "events.also `ocsf:/var/log/x`",
        "events.also `otlp:https://collector.example`",
        "events.on_denied = \"stop-session\"",
        "network.deny `192.0.2.1`",
        "network.deny `2001:db8::/32`",
        "redact.format = \"jsonl\"",
        "redact.rule `r`",
        "redact.written_files = \"redact\"",
        "secret `S`",
        "sockets.docker = \"allow\"",
        "tool `t`",
    ];
    assert!(expected.iter().all(|feature| kinds.contains(*feature)), "{kinds:#?}");
}

fn holds(text: &str, part: &str) {
    assert!(text.contains(part), "{part} is not in {text}");
}

#[test]
fn lists_add_up_and_entries_come_out() {
    let policy = parsed("version = 1\n[files]\nread = [\"/srv\", \"!/opt\", \"/usr\", \"/srv\"]\n");
    let default = BuiltIn::Default.policy().unwrap();
    let show = |policy: &Policy| -> Vec<String> {
        policy.files.read.iter().map(|path| path.value.to_string()).collect()
    };
    let mut expected = show(&default);
    expected.retain(|path| path != "/opt");
    expected.push("/srv".to_owned());
    assert_eq!(show(&policy), expected);
    let usr = policy.files.read.iter().find(|path| path.value == PathPattern::new("/usr").unwrap()).unwrap();
    assert!(usr.origin.is_built_in(), "what is repeated stays where it was first written");
}

#[test]
fn guards_come_out_and_are_written_anew() {
    let policy = parsed(
        "version = 1\n[[guard]]\nid = \"!netrc\"\nreason = \"ours\"\n\
         [[guard]]\nid = \"netrc\"\npath = [\"~/.netrc\"]\naction = \"hide\"\nreason = \"ours\"\n\
         [[guard]]\nid = \"!kube.config\"\nreason = \"no clusters\"\n",
    );
    let default = BuiltIn::Default.policy().unwrap();
    assert_eq!(policy.guards.len(), default.guards.len() - 1);
    assert_eq!(policy.guard("netrc").unwrap().origin().to_string(), "/p.toml:6");
    assert_eq!(policy.guard("kube.config"), None);
}

#[test]
fn a_guard_of_names_counts_in_project_and_home_when_it_does_not_say() {
    let policy = parsed("version = 1\n[[guard]]\nid = \"a\"\nname = [\"a\"]\nreason = \"r\"\n");
    let under: Vec<String> =
        policy.guard("a").unwrap().under.iter().map(|tree| tree.value.to_string()).collect();
    assert_eq!(under, ["${project}", "~"]);
}

#[test]
fn strings_of_all_kinds_are_read() {
    let policy = parsed(
        "version = 1\n[variables]\nkeep = ['A', \"\\u0042\", \"\"\"C\"\"\"]\n\"set\".'D' = \"d\\\"\"\n",
    );
    for name in ["A", "B", "C"] {
        assert!(policy.variables.keep.iter().any(|keep| keep.value.as_str() == name), "{name}");
    }
    assert_eq!(policy.variables.set.iter().find(|(name, _)| name == "D").unwrap().1.value, "d\"");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        drop(Policy::parse(&text, &source()).map_err(|report| report.to_string()));
    }

    #[test]
    fn text_that_looks_like_a_policy_never_panics(parts in prop::collection::vec(part(), 0..40)) {
        drop(Policy::parse(&parts.concat(), &source()).map_err(|report| report.to_string()));
    }

    /// A byte less, a byte more, a piece twice, a piece gone.
    #[test]
    fn damaged_built_in_files_never_panic(
        guards in any::<bool>(),
        at in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        put in "\\PC{0,3}",
    ) {
        let text = if guards { guards_text() } else { BuiltIn::Default.text() };
        let boundary = |index: usize| (0..=index).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (at, to) = (boundary(at.index(text.len())), boundary(to.index(text.len())));
        let (from, until) = (at.min(to), at.max(to));
        for until in [from, from + text[from..].chars().next().map_or(0, char::len_utf8), until] {
            let damaged = format!("{}{put}{}", &text[..from], &text[until..]);
            if let Err(report) = Policy::parse(&damaged, &source()) {
                prop_assert!(!report.to_string().is_empty());
            }
        }
    }

    /// However a file is damaged, what is still accepted is a policy that can be compared and explained.
    #[test]
    fn whatever_is_accepted_can_be_used(parts in prop::collection::vec(part(), 0..12)) {
        let text = format!("version = 1\n{}", parts.concat());
        if let Ok(policy) = Policy::parse(&text, &source()) {
            prop_assert!(policy.tightens(&policy).is_ok());
            prop_assert!(policy.features().len() > 10);
        }
    }
}

fn part() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "[",
        "]",
        "[[guard]]\n",
        "[files]\n",
        "[variables]\n",
        "[tool.x]\n",
        "[sockets]\n",
        "[run.limits]\n",
        "{",
        "}",
        "=",
        ",",
        "\n",
        "\"",
        "\"!",
        "read",
        "keep",
        "id",
        "path",
        "name",
        "reason",
        "action",
        "deny",
        "\"deny\"",
        "= [\"/x\"]\n",
        "= \"x\"\n",
        "docker",
        "= -1\n",
        "processes",
        "# c\n",
        "'''",
        "version = 1\n",
        "${project}",
        "id = \"a\"\nreason = \"r\"\npath = [\"~/x\"]\n",
        "docker = \"absent\"\n",
        "keep = [\"X_*\"]\n",
        "\u{fffd}",
        "é",
    ];
    prop::sample::select(WORDS).prop_map(str::to_owned)
}
