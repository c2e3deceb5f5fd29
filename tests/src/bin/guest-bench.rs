#![forbid(unsafe_code)]
//! The rows of `cargo xtask bench vm`, measured in a guest: what one access costs where kernel programs are loaded, above
//! what it costs without. Prints one JSON object a line: `name`, `value`, `unit`, `limit`, or `name` and `missing`.

#![expect(clippy::expect_used, reason = "a measurement fails by panicking, as the harness does")]

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyblind::guard::kernel::{Guard, How, Kernel, KernelError, PolicySlot, Reach, Refuses, Scope};
use serde_json::{Value, json};

const OPEN: &str = "open+close of a file";
const READ: &str = "read(2) of a byte";

/// Above the same access without programs, in instructions.
const OUT_OF_SCOPE: u64 = 300;
const IN_SCOPE: u64 = 450;
const NINE_DEEP: u64 = 800;
const DENIED: u64 = 2_500;

const PINS: &str = "/sys/fs/bpf/keyblind";
const HOME: &str = "/sys/fs/cgroup/keyblind";

/// Files to open, and the cgroup of a scope.
struct Bed {
    program: PathBuf,
    top: PathBuf,
    deep: PathBuf,
    guarded: PathBuf,
    cgroup: PathBuf,
}

impl Bed {
    fn new() -> Self {
        let program = std::env::current_exe().expect("a program").with_file_name("open-cost");
        let dir = PathBuf::from(format!("/var/tmp/bench-{}", std::process::id()));
        let write = |name: &str| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
            fs::write(&path, "x").expect("a file");
            path
        };
        let cgroup = Path::new(HOME).join("bench");
        fs::create_dir_all(&cgroup).expect("a cgroup");
        Self {
            program,
            top: write("file"),
            deep: write("1/2/3/4/5/6/7/8/file"),
            guarded: write("guarded"),
            cgroup,
        }
    }

    /// The cost of one access, by a process inside the scope or outside of it.
    fn cost(&self, what: &str, path: &Path, inside: bool) -> u64 {
        let enter =
            if inside { format!("echo $$ >{}/cgroup.procs; ", self.cgroup.display()) } else { String::new() };
        let script = format!("{enter}exec \"$@\"");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script, "sh"]).arg(&self.program).arg(what).arg(path);
        if path == self.guarded {
            // All their reports find room, so that each is paid for.
            shell.arg("500");
        }
        let output = shell.output().expect("open-cost");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().parse().unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Programs, one scope, and a guard on one file and on one more, so that a walk has something to look for.
    fn guard(&self) -> Result<Kernel, KernelError> {
        let mut kernel = Kernel::start(Path::new(PINS), Path::new(HOME))?;
        let slot = PolicySlot::new(1).expect("a slot");
        let scope = Scope { slot: slot.number(), ..Scope::default() };
        kernel.enter_scope(fs::metadata(&self.cgroup).expect("the cgroup").ino(), &scope)?;
        let object = File::open(&self.guarded).expect("the guarded file");
        let guard = Guard {
            number: 1,
            object: object.as_fd(),
            reach: Reach::Object,
            refuses: Refuses::Opening,
            how: How::Deny,
        };
        kernel.enrol(slot, &guard)?;
        Ok(kernel)
    }
}

fn main() {
    let bed = Bed::new();
    let bare = bed.cost("open", &bed.top, true);
    say(&row(&format!("{OPEN}, no probes"), bare, Value::Null));
    let bare_deep = bed.cost("open", &bed.deep, true);
    let bare_guarded = bed.cost("open", &bed.guarded, true);
    let bare_read = bed.cost("read", &bed.top, true);
    say(&row(&format!("{READ}, no probes"), bare_read, Value::Null));

    let names = ["out of scope", "in scope, 1 deep", "in scope, 9 deep", "denied with event"];
    let kernel = match bed.guard() {
        Ok(kernel) => kernel,
        Err(error) => {
            let opens = names.map(|name| format!("{OPEN}, {name}"));
            for name in opens.into_iter().chain([format!("{READ}, out of scope")]) {
                say(&json!({ "name": name, "missing": error.to_string() }));
            }
            return;
        }
    };
    let more = |name: &str, now: u64, before: u64, limit: u64| {
        say(&row(&format!("{name}, more than without probes"), now.saturating_sub(before), limit.into()));
    };
    let open = |name: &str| format!("{OPEN}, {name}");
    more(&open(names[0]), bed.cost("open", &bed.top, false), bare, OUT_OF_SCOPE);
    more(&format!("{READ}, out of scope"), bed.cost("read", &bed.top, false), bare_read, 0);
    more(&open(names[1]), bed.cost("open", &bed.top, true), bare, IN_SCOPE);
    more(&open(names[2]), bed.cost("open", &bed.deep, true), bare_deep, NINE_DEEP);
    let denied = bed.cost("open", &bed.guarded, true);
    more(&open(names[3]), denied, bare_guarded, DENIED);
    kernel.stop().expect("the end of the programs");
}

fn row(name: &str, value: u64, limit: Value) -> Value {
    json!({ "name": name, "value": value, "unit": "instructions", "limit": limit })
}

fn say(row: &Value) {
    writeln!(std::io::stdout(), "{row}").expect("stdout");
}
