#![forbid(unsafe_code)]
//! The rows of `cargo xtask bench vm`, measured in a guest: what one access costs where kernel programs are loaded, above
//! what it costs without. Prints one JSON object a line: `name`, `value`, `unit`, `limit`, or `name` and `missing`.

#![expect(clippy::expect_used, reason = "a measurement fails by panicking, as the harness does")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use keyblind_tests::{Outcome, Run, Site, Tier};
use serde_json::{Value, json};

const OPEN: &str = "open+close of a file";
const READ: &str = "read(2) of a byte";

/// Above the same access without programs, in instructions.
const OUT_OF_SCOPE: u64 = 300;
const IN_SCOPE: u64 = 450;
const NINE_DEEP: u64 = 800;
const DENIED: u64 = 2_500;

fn main() {
    let site = Site::new();
    let program = site.add_helper("open-cost");
    let top = site.write("home/project/file", "x");
    let deep = site.write("home/project/1/2/3/4/5/6/7/8/file", "x");
    let guarded = site.home().join(".aws/credentials");
    let measure = |tier: Tier, what: &str, path: &Path| -> u64 {
        let words = [program.clone(), PathBuf::from(what), path.to_path_buf()];
        number(&site.run(Run::new(tier, words)))
    };
    let bare = measure(Tier::Bare, "open", &top);
    say(&row(&format!("{OPEN}, no probes"), bare, Value::Null));
    let bare_deep = measure(Tier::Bare, "open", &deep);
    let bare_guarded = measure(Tier::Bare, "open", &guarded);
    let bare_read = measure(Tier::Bare, "read", &top);
    say(&row(&format!("{READ}, no probes"), bare_read, Value::Null));

    let names = ["out of scope", "in scope, 1 deep", "in scope, 9 deep", "denied with event"];
    if let Some(why) = no_programs(&site) {
        let opens = names.map(|name| format!("{OPEN}, {name}"));
        for name in opens.into_iter().chain([format!("{READ}, out of scope")]) {
            say(&json!({ "name": name, "missing": why }));
        }
        return;
    }
    // A run keeps the programs loaded while accesses outside of it are measured.
    let mut beside = Beside::start(&site);
    let more = |name: &str, now: u64, before: u64, limit: u64| {
        say(&row(&format!("{name}, more than without probes"), now.saturating_sub(before), limit.into()));
    };
    more(&format!("{OPEN}, {}", names[0]), measure(Tier::Bare, "open", &top), bare, OUT_OF_SCOPE);
    more(&format!("{READ}, out of scope"), measure(Tier::Bare, "read", &top), bare_read, 0);
    beside.end();
    more(&format!("{OPEN}, {}", names[1]), measure(Tier::Mount, "open", &top), bare, IN_SCOPE);
    more(&format!("{OPEN}, {}", names[2]), measure(Tier::Mount, "open", &deep), bare_deep, NINE_DEEP);
    more(&format!("{OPEN}, {}", names[3]), measure(Tier::Mount, "open", &guarded), bare_guarded, DENIED);
}

/// Why a run of root has no kernel programs here, or `None` if it has them.
fn no_programs(site: &Site) -> Option<String> {
    let outcome = site.run(Run::bash(Tier::Mount, "true"));
    let tier = outcome.events_of("run.started")[0]["tier"].as_str().unwrap_or("none").to_owned();
    if tier == "kernel" {
        return None;
    }
    let words = [site.bin().join("keyblind").display().to_string()];
    let words = words.into_iter().chain(["doctor", "--json", "--user", "1000"].map(str::to_owned));
    let doctor = site.run(Run::new(Tier::Bare, words).by_root());
    let object: Value = serde_json::from_slice(&doctor.stdout).expect("doctor's object");
    let layers = object["layers"].as_array().expect("layers");
    let layer = layers.iter().find(|layer| layer["layer"] == "BPF-LSM").expect("a row for BPF-LSM");
    Some(format!("a run of root is in tier {tier}: {}", layer["evidence"].as_str().unwrap_or_default()))
}

fn number(outcome: &Outcome) -> u64 {
    outcome.text().trim().parse().unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

fn row(name: &str, value: u64, limit: Value) -> Value {
    json!({ "name": name, "value": value, "unit": "instructions", "limit": limit })
}

fn say(row: &Value) {
    writeln!(std::io::stdout(), "{row}").expect("stdout");
}

/// A run that waits on its stdin.
struct Beside(Child);

impl Beside {
    fn start(site: &Site) -> Self {
        let (mut command, _) = site.command(&Run::new(Tier::Mount, ["/bin/cat"]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a run");
        child.stdin.as_mut().expect("a pipe").write_all(b"up\n").expect("a line");
        let mut answer = [0; 3];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut answer).expect("an answer");
        Self(child)
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("an end").success());
    }
}
