//! A base policy and one that differs in one key, both ways.

use std::path::Path;

use super::super::parse::{Base, parse};
use super::super::{BuiltIn, Source};
use super::*;

fn parsed(name: &str, text: &str) -> Policy {
    let source = Source::File(Path::new(name).into());
    let text = format!("version = 1\n{text}\n");
    parse(&text, &source, Base::BuiltIn).unwrap_or_else(|report| panic!("{report}"))
}

/// `tight` lies over `loose`: going from the first to the second loosens `key`, the other way is fine.
fn check(key: &str, loose: &str, tight: &str) {
    let (loose, tight) = (parsed("/loose.toml", loose), parsed("/tight.toml", tight));
    assert_eq!(tight.tightens(&loose), Ok(()), "{key}");
    let loosening = loose.tightens(&tight).expect_err(key);
    assert_eq!(loosening.key, key, "{loosening}");
}

/// Neither tightens the other.
fn differ(key: &str, one: &str, other: &str) {
    let (one, other) = (parsed("/one.toml", one), parsed("/other.toml", other));
    assert_eq!(one.tightens(&other).expect_err(key).key, key);
    assert_eq!(other.tightens(&one).expect_err(key).key, key);
}

#[test]
fn a_policy_tightens_itself() {
    for built_in in BuiltIn::ALL {
        let policy = built_in.policy().unwrap();
        assert_eq!(policy.tightens(&policy), Ok(()));
    }
}

#[test]
fn words() {
    check("mode", "mode = \"audit\"", "");
    check("tier.minimum", "", "[tier]\nminimum = \"kernel\"");
    check("tier.layers.cgroup", "", "[tier]\nlayers = { cgroup = \"require\" }");
    check("tier.layers.seccomp", "[tier]\nlayers = { seccomp = \"prefer\" }", "");
    check("files.cache_mode", "[files]\ncache_mode = \"share\"", "");
    check("files.cache_mode", "", "[files]\ncache_mode = \"read-only\"");
    check("files.late_names", "[files]\nlate_names = \"existing-only\"", "");
    check("procfs.debug", "[procfs]\ndebug = true", "");
    check("network.mode", "", "[network]\nmode = \"loopback\"");
    check("network.mode", "[network]\nmode = \"loopback\"", "[network]\nmode = \"none\"");
    check("redact.written_files", "", "[redact]\nwritten_files = \"redact\"");
    check("events.on_denied", "", "[events]\non_denied = \"stop-run\"");
}

#[test]
fn the_host_service() {
    check("host.always", "", "[host]\nalways = [\"a.slice\"]");
    check("host.always", "[host]\nalways = [\"a.slice/b\"]", "[host]\nalways = [\"a.slice\"]");
    check("host.flag", "", "[host]\nflag = [\"a.slice\"]");
    check("host.flags_per_minute", "[host]\nflags_per_minute = 1", "");
}

#[test]
fn words_without_an_order_are_free() {
    let one = parsed("/a", "[redact]\nmark = \"plain\"\nformat = \"jsonl\"\n[run]\nhint = false");
    let other = BuiltIn::Default.policy().unwrap();
    assert_eq!((one.tightens(&other), other.tightens(&one)), (Ok(()), Ok(())));
}

#[test]
fn runs() {
    check("run.limits.processes", "", "[run]\nlimits = { processes = 10 }");
    check("run.limits.open_files", "", "[run]\nlimits = { open_files = 20 }");
    check("run.limits.memory", "", "[run]\nlimits = { memory = \"1 GiB\" }");
    check("run.limits.cpu", "", "[run]\nlimits = { cpu = \"1m\" }");
    check(
        "run.limits.timeout",
        "[run]\nlimits = { timeout = \"1h\" }",
        "[run]\nlimits = { timeout = \"1m\" }",
    );
    check("run.limits.core", "[run]\nlimits = { core = 0 }", "");
    check("run.limits.core", "[run]\nlimits = { core = 4096 }", "");
    check("run.user", "", "[run]\nuser = \"agent\"");
    differ("run.user", "[run]\nuser = \"a\"", "[run]\nuser = \"b\"");
    differ("run.environment", "", "[run]\nenvironment = \"production\"");
}

#[test]
fn variables_of_a_run() {
    check("variables.keep", "[variables]\nkeep = [\"A\"]", "");
    check("variables.keep", "", "[variables]\nkeep = [\"!LC_*\", \"LC_ALL\"]");
    check("variables.never", "", "[variables]\nnever = [\"X\"]");
    check("variables.never", "", "[variables]\nnever = [\"!LD_*\", \"L*\"]");
    check("variables.check.A", "[variables]\ncheck = { A = \"x\" }", "");
    check(
        "variables.check.A",
        "[variables]\nkeep = [\"A\"]",
        "[variables]\nkeep = [\"A\"]\ncheck = { A = \"x\" }",
    );
    differ("variables.check.EDITOR", "", "[variables]\ncheck = { EDITOR = \"x\" }");
    differ("variables.set.A", "[variables]\nset = { A = \"x\" }", "");
    differ("variables.set.HISTFILE", "", "[variables]\nset = { HISTFILE = \"/x\" }");
    let gone = parsed("/a", "[variables]\nset = { \"!HISTFILE\" = \"\" }");
    let default = BuiltIn::Default.policy().unwrap();
    assert_eq!(gone.tightens(&default).unwrap_err().key, "variables.set.HISTFILE");
}

#[test]
fn trees() {
    check("files.write", "[files]\nwrite = [\"/srv\"]", "");
    check("files.write", "[files]\nwrite = [\"/srv\"]", "[files]\nwrite = [\"/srv/a\"]");
    check("files.read", "[files]\nread = [\"~/x\"]", "[files]\nread = [\"~/x/y\"]");
    check("files.read", "", "[files]\nread = [\"!/opt\"]");
    check("files.caches", "[files]\ncaches = [\"~/.x\"]", "");
    let reads = parsed("/a", "[files]\nread = [\"~/.npm\"]");
    assert_eq!(reads.tightens(&BuiltIn::Default.policy().unwrap()), Ok(()), "caches can be read already");
}

const A: &str = "[[guard]]\nid = \"a\"\nreason = \"r\"\npath = [\"/srv\"]\n";

#[test]
fn guards_come_and_go() {
    check("guard `a`", "", A);
    check("guard `netrc`", "[[guard]]\nid = \"!netrc\"\nreason = \"r\"", "");
    check("guard `a`", &format!("{A}action = \"allow\""), "");
}

#[test]
fn guards_change() {
    let with = |rest: &str| format!("{A}{rest}");
    check("guard `a` action", &with("action = \"flag\""), &with("action = \"mask\""));
    check("guard `a` action", &with("action = \"mask\""), &with("action = \"deny\""));
    differ("guard `a` access", &with("access = \"write\""), &with(""));
    check("guard `a` needles", &with(""), &with("needles = true"));
    check("guard `a` except", &with("except = [\"*.pub\"]"), &with("except = [\"x.pub\"]"));
    check("guard `a` name", &with("name = [\"x\"]"), &with("name = [\"x*\"]"));
    check("guard `a` path", &A.replace("/srv", "/srv/x"), A);
    let under = |tree: &str| with(&format!("name = [\"x\"]\nunder = [\"{tree}\"]"));
    check("guard `a` under", &under("/srv/x"), &under("/srv"));
    let keys = |rest: &str| with(&format!("access = \"write\"\nkeys = {{ {rest} }}"));
    check("guard `a` keys", &with("access = \"write\""), &keys("file = \"/f\", deny = [\"a\"]"));
    differ("guard `a` keys", &keys("file = \"/f\", deny = [\"a\"]"), &keys("file = \"/g\", deny = [\"a\"]"));
    check(
        "guard `a` keys.deny",
        &keys("file = \"/f\", deny = [\"a.b\"]"),
        &keys("file = \"/f\", deny = [\"a.*\"]"),
    );
}

#[test]
fn an_exception_must_not_move_behind_more_guards() {
    let exception = "[[guard]]\nid = \"free\"\nreason = \"r\"\npath = [\"/srv/free\"]\naction = \"allow\"\n";
    check("guard `free`", &format!("{A}{exception}"), &format!("{exception}{A}"));
}

#[test]
fn sockets_devices_and_addresses() {
    check("sockets.ssh-agent", "", "[sockets]\nssh-agent = \"absent\"");
    check("sockets.docker", "[sockets]\ndocker = { use = \"allow\", reason = \"r\" }", "");
    check(
        "sockets.ssh-agent.commands",
        "[sockets]\nssh-agent = { use = \"sign\", commands = [] }",
        "[sockets]\nssh-agent = { use = \"sign\", commands = [\"git\"] }",
    );
    check("devices.allow", "[devices]\nallow = [\"gpu\"]", "");
    check("network.deny", "[network]\ndeny = [\"!metadata\"]", "");
    check("network.deny", "[network]\ndeny = [\"10.1.0.0/16\"]", "[network]\ndeny = [\"10.0.0.0/8\"]");
    check(
        "network.deny",
        "[network]\ndeny = [\"169.254.169.254\"]",
        "[network]\ndeny = [\"169.254.0.0/16\"]",
    );
}

#[test]
fn redaction_and_events() {
    check("redact.rules", "[redact]\nrules = [\"!default\"]", "");
    check("redact.encodings", "[redact]\nencodings = [\"!hex\"]", "");
    let rule = "[[redact.rule]]\nid = \"r\"\npattern = \"xyz1\"\nreason = \"r\"\nexamples = [\"xyz1\"]";
    check("redact.rule `r`", "", rule);
    differ("events.store", "", "[events]\nstore = \"/srv/log\"");
    check("events.keep.days", "", "[events]\nkeep = { days = 40 }");
    check("events.keep.bytes", "", "[events]\nkeep = { bytes = \"3 GiB\" }");
    check("events.also", "", "[events]\nalso = [\"ocsf:/x\"]");
}

#[test]
fn entitlements_may_be_left_out_and_not_changed() {
    let environment =
        "[environment.production]\nsources = [\"store\"]\n[run]\nenvironment = \"production\"\n";
    let other = "[environment.other]\nsources = [\"store\"]\n";
    check("environment.other", &format!("{environment}{other}"), environment);
    differ(
        "environment.other",
        &format!("{environment}{other}"),
        &format!("{environment}{}", other.replace("store", "env")),
    );
    let secret = format!("{environment}[secret.S]\nfrom = {{ production = \"store:s\" }}\n");
    check("secret.S", &secret, environment);
    let tool = format!("{secret}[tool.t]\ndescription = \"d\"\ncommand = [\"/bin/t\"]\n");
    check("tool.t", &tool, &secret);
}

#[test]
fn a_loosening_names_both_lines() {
    let (one, other) = (
        parsed("/one.toml", "[network]\nmode = \"host\""),
        parsed("/other.toml", "[network]\nmode = \"none\""),
    );
    assert_eq!(
        one.tightens(&other).unwrap_err().to_string(),
        "/one.toml:3: `network.mode` is `host` and must stay `none` (/other.toml:3)"
    );
    let added = parsed("/one.toml", "[files]\nwrite = [\"/srv\"]").tightens(&other).unwrap_err();
    assert_eq!(added.to_string(), "/one.toml:3: `files.write` adds `/srv`");
    let lacks = parsed("/one.toml", "[network]\ndeny = [\"!metadata\"]\nmode = \"none\"")
        .tightens(&other)
        .unwrap_err();
    assert!(
        lacks.to_string().starts_with("`network.deny` lacks `metadata` (built-in default.toml:"),
        "{lacks}"
    );
}
