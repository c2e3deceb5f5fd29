use std::path::Path;

use super::super::{BuiltIn, Source};
use super::*;

fn roots() -> Roots<'static> {
    Roots { project: Path::new("/src/app"), home: Some(Path::new("/home/jo")) }
}

fn operator(text: &str) -> Policy {
    let source = Source::File(Path::new("/p.toml").into());
    Policy::parse(&format!("version = 1\n{text}"), &source).unwrap_or_else(|report| panic!("{report}"))
}

fn default() -> Policy {
    BuiltIn::Default.policy().unwrap()
}

/// Verdict and rule.
fn check(policy: &Policy, query: Query, verdict: Verdict, rule: &str) {
    let explanation = explain(policy, &query, &roots());
    assert_eq!((explanation.verdict, explanation.rule.as_str()), (verdict, rule), "{query:?}: {explanation}");
    assert!(!explanation.reason.is_empty(), "{query:?}");
}

fn read(path: &str) -> Query {
    Query::Read(path.into())
}

fn write(path: &str) -> Query {
    Query::Write(path.into())
}

fn connect(target: &str) -> Query {
    Query::Connect(target.into())
}

#[test]
fn an_explanation_names_rule_line_reason_and_change() {
    let line =
        super::super::guards_text().lines().position(|line| line.contains("\"aws.credentials\"")).unwrap()
            + 1;
    assert_eq!(
        explain(&default(), &read("~/.aws/credentials"), &roots()).to_string(),
        format!(
            "deny    read /home/jo/.aws/credentials\n\
             rule    guard aws.credentials\n\
             at      built-in guards.toml:{line}\n\
             why     long-lived cloud keys; use a grant or a role\n\
             change  [[guard]] id = \"!aws.credentials\" with a reason takes the guard out; \
             files.read would have to grant it, too"
        )
    );
    assert_eq!(
        explain(&default(), &read("/srv/data"), &roots()).to_string(),
        "deny    read /srv/data\n\
         rule    files\n\
         why     nothing grants it, so it is not in the run's tree\n\
         change  files.read = [\"/srv/data\"]"
    );
}

#[test]
fn reading() {
    let policy = default();
    check(&policy, read("src/main.rs"), Verdict::Allow, "files.read `${project}`");
    check(&policy, read("/usr/bin/env"), Verdict::Allow, "files.read `/usr`");
    check(&policy, read("/lib64/ld.so"), Verdict::Allow, "files.read `/lib*`");
    check(&policy, read("/tmp/x"), Verdict::Allow, "files.write `/tmp`");
    check(&policy, read("~/.cargo/registry/index"), Verdict::Allow, "files.caches `~/.cargo/registry`");
    check(&policy, read(".env"), Verdict::Mask, "guard project.dotenv");
    check(&policy, read(".env.example"), Verdict::Allow, "files.read `${project}`");
    check(&policy, read("sub/../.env.test.local"), Verdict::Mask, "guard project.dotenv");
    check(&policy, read("/etc/shadow"), Verdict::Deny, "guard host.shadow");
    check(&policy, read("~/.gradle/gradle.properties"), Verdict::Mask, "guard gradle.properties");
    check(&policy, read("~/.ssh/id_ed25519"), Verdict::Deny, "guard ssh.keys");
    check(&policy, read("~/.ssh/known_hosts"), Verdict::Allow, "files.read `~/.ssh/known_hosts`");
    check(&policy, read("~"), Verdict::Allow, "files");
    check(&policy, read("~/notes"), Verdict::Deny, "files");
    check(&policy, read("/root/x"), Verdict::Deny, "files");
    check(&policy, read("/proc/self/environ"), Verdict::Deny, "procfs.environ");
    check(&policy, read("/proc/1/mem"), Verdict::Deny, "procfs.debug");
    check(&policy, read("/proc/self/maps"), Verdict::Allow, "procfs");
    check(&policy, read("/proc/meminfo"), Verdict::Allow, "procfs");
    check(&policy, read("/dev/null"), Verdict::Allow, "devices");
    check(&policy, read("/dev/nvidia0"), Verdict::Deny, "devices.allow");
    check(&policy, read("/dev/sda"), Verdict::Deny, "devices");
    let explanation = explain(&policy, &read("certs/ca.pem"), &roots());
    assert!(explanation.reason.ends_with("(by the pattern `*.pem`: only if the content is secret)"));
}

#[test]
fn writing() {
    let policy = default();
    check(&policy, write("src/main.rs"), Verdict::Allow, "files.write `${project}`");
    check(&policy, write(".git/hooks/pre-commit"), Verdict::Deny, "guard git.exec");
    check(&policy, write(".env"), Verdict::Deny, "guard project.dotenv");
    check(&policy, write("~/.npm/x"), Verdict::Allow, "files.caches `~/.npm`");
    check(&policy, write("~/.bashrc"), Verdict::Deny, "guard shell.startup");
    check(&policy, write("~/x"), Verdict::Allow, "files");
    check(&policy, write("/usr/bin/x"), Verdict::Deny, "files.read `/usr`");
    check(&policy, write("/srv/x"), Verdict::Deny, "files");
    let config = explain(&policy, &write(".git/config"), &roots());
    assert_eq!(config.verdict, Verdict::Allow);
    assert!(config.reason.starts_with("granted, except for the keys core.fsmonitor, "), "{config}");
    let read_only = operator("[files]\ncache_mode = \"read-only\"");
    check(&read_only, write("~/.npm/x"), Verdict::Deny, "files.caches `~/.npm`");
}

#[test]
fn variables() {
    let policy = default();
    let variable = |name: &str| Query::Variable(name.into());
    check(&policy, variable("PATH"), Verdict::Allow, "variables.keep `PATH`");
    check(&policy, variable("LC_ALL"), Verdict::Allow, "variables.keep `LC_*`");
    check(&policy, variable("EDITOR"), Verdict::Allow, "variables.check `EDITOR`");
    check(&policy, variable("HISTFILE"), Verdict::Allow, "variables.set `HISTFILE`");
    check(&policy, variable("LD_PRELOAD"), Verdict::Deny, "variables.never `LD_*`");
    check(&policy, variable("AWS_SECRET_ACCESS_KEY"), Verdict::Deny, "variables.keep");
}

#[test]
fn connecting() {
    let policy = default();
    check(&policy, connect("169.254.169.254:80"), Verdict::Deny, "network.deny `metadata`");
    check(&policy, connect("[::ffff:169.254.169.254]:80"), Verdict::Deny, "network.deny `metadata`");
    check(&policy, connect("fd00:ec2::254"), Verdict::Deny, "network.deny `metadata`");
    check(&policy, connect("metadata.google.internal"), Verdict::Deny, "network.deny `metadata`");
    check(&policy, connect("192.0.2.1:443"), Verdict::Allow, "network.mode `host`");
    check(&policy, connect("example.org:443"), Verdict::Allow, "network.mode `host`");
    check(&policy, connect("docker"), Verdict::Deny, "sockets.docker `absent`");
    check(&policy, connect("/var/run/docker.sock"), Verdict::Deny, "sockets.docker `absent`");
    check(&policy, connect("/run/user/1000/bus"), Verdict::Deny, "sockets.dbus `absent`");
    check(&policy, connect("ssh-agent"), Verdict::Allow, "sockets.ssh-agent `sign`");
    check(&policy, connect("/run/other.sock"), Verdict::Deny, "files");
    let loopback = operator("[network]\nmode = \"loopback\"");
    check(&loopback, connect("127.0.0.1:80"), Verdict::Allow, "network.mode `loopback`");
    check(&loopback, connect("localhost:80"), Verdict::Allow, "network.mode `loopback`");
    check(&loopback, connect("192.0.2.1:80"), Verdict::Deny, "network.mode `loopback`");
    let none = operator("[network]\nmode = \"none\"");
    check(&none, connect("127.0.0.1:80"), Verdict::Deny, "network.mode `none`");
    let net = operator("[network]\ndeny = [\"10.0.0.0/8\"]");
    check(&net, connect("10.1.2.3:80"), Verdict::Deny, "network.deny `10.0.0.0/8`");
}

#[test]
fn an_exception_takes_back_what_stands_before_it_and_nothing_after() {
    let exception = "[[guard]]\nid = \"mine\"\npath = [\"${project}/test/.env\"]\naction = \"allow\"\nreason = \"fakes\"\n";
    let policy = operator(exception);
    check(&policy, read("test/.env"), Verdict::Allow, "files.read `${project}`");
    check(&policy, read(".env"), Verdict::Mask, "guard project.dotenv");
    let after = format!("{exception}[[guard]]\nid = \"late\"\nname = [\".env\"]\nreason = \"all\"\n");
    let policy = operator(&after);
    check(&policy, read("test/.env"), Verdict::Deny, "guard late");
    check(&policy, read(".env"), Verdict::Deny, "guard late");
}

#[test]
fn audit_mode_lets_guarded_objects_pass_and_does_not_grant_what_is_absent() {
    let policy = operator("mode = \"audit\"");
    check(&policy, read(".env"), Verdict::Flag, "guard project.dotenv");
    check(&policy, write(".env"), Verdict::Flag, "guard project.dotenv");
    check(&policy, read("~/.aws/credentials"), Verdict::Deny, "guard aws.credentials");
    check(&policy, connect("169.254.169.254"), Verdict::Flag, "network.deny `metadata`");
    let explanation = explain(&policy, &read(".env"), &roots());
    assert!(explanation.reason.ends_with("; mode audit (/p.toml:2) lets it pass"), "{explanation}");
}

#[test]
fn a_flag_grants_nothing() {
    let guard = "[[guard]]\nid = \"look\"\npath = [\"/srv\", \"${project}/data\"]\naction = \"flag\"\nreason = \"who?\"";
    let policy = operator(guard);
    check(&policy, read("/srv/x"), Verdict::Deny, "files");
    check(&policy, read("data/x"), Verdict::Flag, "guard look");
}

#[test]
fn a_locked_policy_says_who_could_change_it() {
    let mut policy = default();
    policy.locked = true;
    let explanation = explain(&policy, &read("/srv"), &roots());
    assert_eq!(
        explanation.change,
        "files.read = [\"/srv\"] (the host's policy is locked: only its owner can)"
    );
}

#[test]
fn objects_are_guessed() {
    let guess = |object: &str| Query::guess(object.into());
    assert_eq!(guess("AWS_PROFILE"), Query::Variable("AWS_PROFILE".into()));
    assert_eq!(guess("169.254.169.254"), connect("169.254.169.254"));
    assert_eq!(guess("example.org:443"), connect("example.org:443"));
    assert_eq!(guess("::1"), connect("::1"));
    assert_eq!(guess("docker"), connect("docker"));
    assert_eq!(guess("~/.aws/credentials"), read("~/.aws/credentials"));
    assert_eq!(guess(".env"), read(".env"));
    assert_eq!(guess("example.org"), read("example.org"));
}
