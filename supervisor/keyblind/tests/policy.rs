//! `keyblind policy` as it is called: statuses and streams.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A home of its own, so that no policy of whoever runs the tests counts.
struct Bench {
    home: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { home: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn policy(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_keyblind"))
            .arg("policy")
            .args(arguments)
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap()
    }

    /// Status and stdout.
    fn answer(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.policy(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

/// On a host with a policy of its own that one decides, and the statuses below are not ours to predict.
fn host_decides() -> bool {
    let host = Path::new(keyblind::policy::HOST);
    if host.exists() {
        println!("skipped: {} exists", host.display());
    }
    host.exists()
}

#[test]
fn check_says_ok_mistaken_or_unreadable() {
    let bench = Bench::new();
    let good = bench.write("good.toml", "version = 1\n");
    let (status, text) = bench.answer(&["check", &good]);
    assert_eq!((status, text.starts_with(&format!("{good}: ok, generation "))), (0, true), "{text}");
    let bad = bench.write("bad.toml", "version = 1\n[devices]\nalow = [\"gpu\"]\n");
    let shown = format!(
        "error: unknown key `alow` in [devices]\n --> {bad}:3:1\n3 | alow = [\"gpu\"]\n  | ^^^^ did you mean `allow`?\n"
    );
    assert_eq!(bench.answer(&["check", &bad]), (1, shown));
    let missing = bench.policy(&["check", "missing.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(missing.stderr).unwrap(),
        "keyblind: policy missing.toml is not there; check the name\n"
    );
    let locked = bench.write("locked.toml", "version = 1\nlocked = true\n");
    assert_eq!(bench.answer(&["check", &locked]).0, 1);
    assert_eq!(bench.answer(&["check", "--host", &locked]).0, 0);
}

#[test]
fn explain_says_whether_it_passes() {
    if host_decides() {
        return;
    }
    let bench = Bench::new();
    for (arguments, status, first) in [
        (["--env", "PATH"], 0, "allow   variable PATH"),
        (["--env", "LD_PRELOAD"], 1, "deny    variable LD_PRELOAD"),
        (["--connect", "169.254.169.254"], 1, "deny    connect 169.254.169.254"),
        (["--read", "/usr/bin/env"], 0, "allow   read /usr/bin/env"),
        (["--write", "/usr/bin/env"], 1, "deny    write /usr/bin/env"),
    ] {
        let (have, text) = bench.answer(&["explain", arguments[0], arguments[1]]);
        assert_eq!((have, text.lines().next()), (status, Some(first)));
    }
    assert_eq!(bench.policy(&["explain"]).status.code(), Some(2));
    assert_eq!(bench.policy(&["explain", "--read", "--write", "x"]).status.code(), Some(2));
    bench.write(".config/keyblind/policy.toml", "version = 1\nnonsense = 1\n");
    assert_eq!(bench.policy(&["explain", "PATH"]).status.code(), Some(2));
}

#[test]
fn show_prints_built_in_files_as_they_are_and_policies_as_files() {
    let bench = Bench::new();
    let default = keyblind::policy::BuiltIn::Default.text();
    assert_eq!(bench.answer(&["show", "default"]), (0, default.to_owned()));
    assert_eq!(bench.answer(&["show", "guards"]), (0, keyblind::policy::guards_text().to_owned()));
    if host_decides() {
        return;
    }
    let own = bench.write("own.toml", "version = 1\n[network]\nmode = \"none\"\n");
    let (status, text) = bench.answer(&["show", "--policy", &own]);
    assert_eq!(status, 0);
    assert!(text.contains(&format!("mode = \"none\"   # {own}:3\n")), "{text}");
    let again = bench.write("again.toml", &text);
    assert_eq!(bench.answer(&["check", &again]).0, 0);
}

#[test]
fn the_schema_is_json() {
    let (status, text) = Bench::new().answer(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, schema.get("title").and_then(|title| title.as_str())), (0, Some("keyblind policy")));
}
