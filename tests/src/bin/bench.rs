#![forbid(unsafe_code)]
//! Measures the real binary against the same work bare, in turns within one run, and prints one JSON object a line:
//! `name`, `value`, `unit`, `limit` (the most that is allowed, or `{"at_least": …}`). `bench [PART-OF-A-NAME]`.
//!
//! The site is that of the promised figures: the default policy, 30 planted secret files, 50 secret variables, and for
//! the start a project of 300,000 files.

#![expect(clippy::expect_used, reason = "a figure that cannot be measured is not printed as another")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use keyblind_tests::{Feature, Run, Site, Tier, absent};
use serde_json::{Value, json};

const FILES: usize = 30;
const VARIABLES: usize = 50;
const PROJECT_FILES: usize = 300_000;
const TEXT: usize = 142_000_000;

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let wants = |name: &str| name.contains(&filter);
    for tier in [Tier::Mount, Tier::User, Tier::InPlace] {
        if let Some(reason) = tier.needs().and_then(absent) {
            say_on_stderr(&format!("tier {} is not measured: {reason}", tier.name()));
            continue;
        }
        let parts: [(&str, Measure); 5] = [
            ("start", start),
            ("500 times true", many_children),
            ("text to stdout", text),
            ("json-rpc turn", turn),
            ("memory", memory),
        ];
        for (name, measure) in parts.iter().filter(|(name, _)| wants(name)) {
            if *name == "memory" && absent(Feature::Root).is_some() {
                say_on_stderr("memory is not measured: only root may look into the supervisor");
                continue;
            }
            let figure = measure(&site(), tier);
            let row = json!({
                "name": format!("{name}, {}", tier.name()),
                "value": figure.value,
                "unit": figure.unit,
                "limit": figure.limit,
            });
            writeln!(io::stdout(), "{row}").expect("stdout takes a row");
        }
    }
}

fn say_on_stderr(text: &str) {
    writeln!(io::stderr(), "bench: {text}").ok();
}

type Measure = fn(&Site, Tier) -> Figure;

struct Figure {
    value: f64,
    unit: &'static str,
    limit: Value,
}

/// A host as the promised figures describe it, without the large project.
fn site() -> Site {
    let site = Site::new();
    for number in site.files.len()..FILES {
        site.write(format!("home/.ssh/keys/id_{number}"), format!("not a key {number}\n"));
    }
    site
}

fn run<const N: usize>(tier: Tier, words: [&str; N]) -> Run {
    (0..VARIABLES).fold(Run::new(tier, words), |run, number| {
        run.variable(
            format!("SERVICE_{number}_TOKEN"),
            format!("made-up-value-of-service-{number}-{number:08x}"),
        )
    })
}

/// How long it takes from the start to the end, without reading anything.
fn elapsed(site: &Site, run: &Run) -> Duration {
    let (mut command, _) = site.command(run);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let begin = Instant::now();
    let status = command.status().expect("it starts");
    let took = begin.elapsed();
    assert!(status.success(), "{status}");
    took
}

/// Medians of `measure` bare and in `tier`, taken in turns, so that what the machine does besides meets both.
fn in_turns(rounds: usize, tier: Tier, mut measure: impl FnMut(Tier) -> Duration) -> (f64, f64) {
    let (mut bare, mut supervised) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(measure(Tier::Bare));
        supervised.push(measure(tier));
    }
    (median(bare), median(supervised))
}

/// In seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn start(site: &Site, tier: Tier) -> Figure {
    const PER_DIRECTORY: usize = 1000;
    for directory in 0..PROJECT_FILES / PER_DIRECTORY {
        let at = site.project().join(format!("src/d{directory}"));
        std::fs::create_dir_all(&at).expect("a directory of the project");
        for file in 0..PER_DIRECTORY {
            File::create(at.join(format!("f{file}"))).expect("a file of the project");
        }
    }
    let (bare, supervised) = in_turns(101, tier, |tier| elapsed(site, &run(tier, ["/bin/true"])));
    Figure { value: (supervised - bare) * 1e3, unit: "ms over bare", limit: json!(4.0) }
}

fn many_children(site: &Site, tier: Tier) -> Figure {
    const SCRIPT: &str =
        "t=$EPOCHREALTIME; for i in {1..500}; do /bin/true; done; echo $((${EPOCHREALTIME/./} - ${t/./}))";
    let (bare, supervised) = in_turns(15, tier, |tier| {
        let outcome = site.run(run(tier, ["/bin/bash", "-c", SCRIPT]));
        let microseconds = String::from_utf8_lossy(&outcome.stdout).trim().parse().expect("a time");
        Duration::from_micros(microseconds)
    });
    Figure { value: supervised / bare, unit: "x bare", limit: json!(1.02) }
}

fn text(site: &Site, tier: Tier) -> Figure {
    let pour = site.add_helper("pour").display().to_string();
    let made = site.run(Run::bash(Tier::Bare, &format!("{pour} {TEXT} >text")));
    made.assert_code(0);
    let mut times = Vec::new();
    for _ in 0..7 {
        let (mut command, _) = site.command(&run(tier, ["/bin/cat", "text"]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let begin = Instant::now();
        let mut child = command.spawn().expect("it starts");
        let mut from = child.stdout.take().expect("a pipe");
        let (mut piece, mut length) = (vec![0; 1 << 20], 0);
        loop {
            match from.read(&mut piece).expect("a stream") {
                0 => break,
                got => length += got,
            }
        }
        assert!(child.wait().expect("an end").success());
        times.push(begin.elapsed());
        assert_eq!(length, TEXT);
    }
    let megabytes = 142.0;
    Figure {
        value: megabytes / median(times),
        unit: "MB/s, start included",
        limit: json!({"at_least": 500.0}),
    }
}

/// A server that answers with what it was asked.
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Server {
    fn start(site: &Site, tier: Tier) -> Self {
        let (mut command, _) = site.command(&run(tier, ["/bin/cat"]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let to = child.stdin.take().expect("a pipe");
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut server = Self { child, to, from };
        server.ask(0);
        server
    }

    fn ask(&mut self, id: usize) -> Duration {
        let question = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"n\":{id}}}}}\n"
        );
        let mut answer = String::new();
        let begin = Instant::now();
        self.to.write_all(question.as_bytes()).expect("a question");
        self.from.read_line(&mut answer).expect("an answer");
        let took = begin.elapsed();
        assert_eq!(answer, question);
        took
    }

    fn end(mut self) {
        drop(self.to);
        assert!(self.child.wait().expect("an end").success());
    }
}

fn turn(site: &Site, tier: Tier) -> Figure {
    let mut servers = [Server::start(site, Tier::Bare), Server::start(site, tier)];
    let (mut bare, mut supervised) = (Vec::new(), Vec::new());
    for id in 1..4000 {
        let [plain, other] = &mut servers;
        bare.push(plain.ask(id));
        supervised.push(other.ask(id));
    }
    servers.into_iter().for_each(Server::end);
    Figure { value: (median(supervised) - median(bare)) * 1e6, unit: "us over bare", limit: json!(50.0) }
}

/// What the supervisor and the reaper hold for themselves while a command runs.
fn memory(site: &Site, tier: Tier) -> Figure {
    let mut server = Server::start(site, tier);
    for id in 1..100 {
        server.ask(id);
    }
    let supervisor = server.child.id();
    let kilobytes: u64 = ours(supervisor).into_iter().map(private).sum();
    server.end();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let value = kilobytes as f64 / 1024.0;
    Figure { value, unit: "MiB, supervisor and reaper", limit: json!(12.0) }
}

/// The process and those of its descendants that are not the command.
fn ours(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|word| word.parse().ok());
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let own = (name.trim() != "cat").then_some(pid);
    own.into_iter().chain(children.flat_map(ours)).collect()
}

/// Private memory in KiB.
fn private(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("root may read it");
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}
