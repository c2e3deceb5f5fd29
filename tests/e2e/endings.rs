//! How a run ends: of itself, at its time limit, or because somebody kills what holds it together. Whatever happens,
//! nothing of it stays.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keyblind_tests::{Check, Feature, Outcome, Run, Site, contains, in_each_tier};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

in_each_tier!(
    Check;
    killed_supervisor, descendants, statuses, time_limit, killed_reaper, caller_that_ignores_sigchld,
    stopped_command, command_in_another_group
);

/// Of 200 kills, this many fall to each tier.
const KILLS: u64 = 67;

/// What is left of a run after this time stays for good.
const SOON: Duration = Duration::from_secs(1);

/// An argument of sleep(1) that no other process has.
fn mark() -> String {
    format!("3{:09}.{:09}", std::process::id(), random_seed() % 1_000_000_000)
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let mut state = u64::from(now.subsec_nanos()) ^ (now.as_secs() << 30);
    next(&mut state)
}

/// splitmix64
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A process by its id and its start time, and its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    pid: u32,
    parent: u32,
    started: u64,
}

/// One that has not ended: a zombie has.
fn known(pid: u32) -> Option<Known> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse().ok();
    let ended = matches!(*fields.first()?, "Z" | "X");
    (!ended).then_some(Known { pid, parent: u32::try_from(number(1)?).ok()?, started: number(19)? })
}

fn processes() -> Vec<Known> {
    let entries = fs::read_dir("/proc").expect("procfs").flatten();
    entries.filter_map(|entry| known(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// All descendants of a process.
fn below(pid: u32) -> Vec<Known> {
    let all = processes();
    let mut found: Vec<Known> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|one| one.parent == parent) {
            found.push(*child);
            parents.push(child.pid);
        }
    }
    found
}

fn lives(one: &Known) -> bool {
    known(one.pid).is_some_and(|now| now.started == one.started)
}

/// The processes that have this among their arguments.
fn with_argument(text: &str) -> Vec<Known> {
    let has = |one: &Known| {
        let line = fs::read(format!("/proc/{}/cmdline", one.pid)).unwrap_or_default();
        contains(&line, text.as_bytes())
    };
    processes().into_iter().filter(has).collect()
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// What runs leave on the host while they live: cgroups and directories for temporary files.
fn host_objects() -> BTreeSet<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let cgroup = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let cgroup =
        cgroup.and_then(|line| line.split(' ').nth(1)).map(|mount| Path::new(mount).join("keyblind"));
    let list = |dir: &Path, start: &str| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let named =
            entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(start.as_bytes()));
        named.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut found = list(Path::new("/tmp"), "keyblind-r-");
    found.extend(cgroup.into_iter().flat_map(|dir| list(&dir, "r-")));
    found.into_iter().collect()
}

/// Whether a process is in the cgroup, or has the directory for its temporary files: another test's run.
fn in_use(object: &Path) -> bool {
    if let Ok(members) = fs::read_to_string(object.join("cgroup.procs")) {
        return !members.is_empty();
    }
    let variable = [b"TMPDIR=", object.as_os_str().as_encoded_bytes()].concat();
    processes()
        .iter()
        .any(|one| contains(&fs::read(format!("/proc/{}/environ", one.pid)).unwrap_or_default(), &variable))
}

/// What of a run is still there.
#[derive(Debug, Default)]
struct Left {
    processes: Vec<Known>,
    objects: Vec<PathBuf>,
}

impl Left {
    fn nothing(&self) -> bool {
        self.processes.is_empty() && self.objects.is_empty()
    }
}

/// What is left after [`SOON`] of processes with the mark, of processes that were known, and of objects that were not
/// there before; looked at until it is nothing.
fn left(mark: &str, family: &[Known], before: &BTreeSet<PathBuf>) -> Left {
    let start = Instant::now();
    loop {
        // The time is read before the look: a slow look is no reason to call something left behind.
        let late = start.elapsed() > SOON;
        let mut processes = with_argument(mark);
        processes.extend(family.iter().filter(|one| lives(one)));
        let objects = host_objects().difference(before).filter(|one| !in_use(one)).cloned().collect();
        let left = Left { processes, objects };
        if left.nothing() || late {
            return left;
        }
        std::thread::yield_now();
    }
}

#[track_caller]
fn assert_nothing_left(mark: &str, family: &[Known], before: &BTreeSet<PathBuf>, when: &str) {
    let left = left(mark, family, before);
    let names: Vec<String> = left.processes.iter().map(|one| name(one.pid)).collect();
    assert!(left.nothing(), "{when}: {names:?} {left:?}");
}

fn start(site: &Site, run: &Run) -> (Child, PathBuf) {
    let (mut command, log) = site.command(run);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command.spawn().expect("it starts"), log)
}

fn ended(outcome: &Outcome) -> Value {
    let ended = outcome.assert_supervised().events_of("run.ended");
    ended[0]["ended"].clone()
}

/// The instants lie evenly between the start and a little after the command's own: with a slow build that is later
/// than with a fast one, so it is measured. `KEYBLIND_SEED` repeats them.
fn killed_supervisor() -> Check {
    Check::new(&[], |tier| {
        let seed = std::env::var("KEYBLIND_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(random_seed);
        let mut state = seed;
        let site = Site::new();
        let began = Instant::now();
        site.run(Run::new(tier, ["/bin/true"])).assert_code(0).assert_supervised();
        let widest = began.elapsed().max(Duration::from_millis(40));
        for number in 0..KILLS {
            let (mark, before) = (mark(), host_objects());
            let script = format!("setsid sleep {mark} & (sleep {mark} &); exec sleep {mark}");
            let (mut child, _) = start(&site, &Run::bash(tier, &script));
            let nanoseconds = u64::try_from(widest.as_nanos()).expect("a short time");
            let instant = Duration::from_nanos(next(&mut state) % nanoseconds);
            std::thread::sleep(instant);
            let family = below(child.id());
            child.kill().expect("the supervisor can be killed");
            child.wait().expect("the supervisor can be waited for");
            let when = format!("kill {number} of seed {seed}, {instant:?} after the start");
            assert_nothing_left(&mark, &family, &before, &when);
        }
    })
}

/// Three processes that have left the command in three ways have executed sleep(1) or are about to; the command ends.
fn descendants() -> Check {
    Check::new(&[], |tier| {
        let (site, mark, before) = (Site::new(), mark(), host_objects());
        let up = format!("echo up >fifo; exec sleep {mark}");
        let script = format!(
            "mkfifo fifo; exec 3<>fifo\n\
             setsid sh -c '{up}' & (sh -c '{up}' & ) ; nohup sh -c '{up}' >/dev/null 2>&1 &\n\
             read -r a <&3; read -r b <&3; read -r c <&3; echo $a $b $c; exit 3"
        );
        let outcome = site.run(Run::bash(tier, &script));
        assert!(with_argument(&mark).is_empty(), "{:?}\n{outcome}", with_argument(&mark));
        assert_nothing_left(&mark, &[], &before, "after the end");
        outcome.assert_code(3);
        assert_eq!(outcome.stdout, b"up up up\n", "{outcome}");
        let ended = ended(&outcome);
        assert_eq!(ended["tally"]["killed"], 3, "{ended}");
        let names: Vec<_> =
            ended["killed"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert!(!names.is_empty() && names.iter().all(|name| *name == "sleep" || *name == "sh"), "{ended}");
    })
}

fn statuses() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        for code in [0, 3, 124] {
            let outcome = site.run(Run::bash(tier, &format!("exit {code}")));
            let ended = ended(outcome.assert_code(code));
            assert_eq!((&ended["exit"], &ended["stopped"]), (&code.into(), &Value::Null), "{ended}");
        }
        for signal in [1, 9, 10, 15] {
            let outcome = site.run(Run::bash(tier, &format!("kill -{signal} $$")));
            let ended = ended(outcome.assert_code(128 + signal));
            assert_eq!((&ended["signal"], &ended["stopped"]), (&signal.into(), &Value::Null), "{ended}");
        }
    })
}

/// A run that its time limit ended: 124, and the record tells it from a command's own 124.
#[track_caller]
fn assert_timed_out(outcome: &Outcome, mark: &str, before: &BTreeSet<PathBuf>) {
    assert_nothing_left(mark, &[], before, "after the time limit");
    let ended = ended(outcome.assert_code(124));
    assert_eq!(ended["stopped"], "the time limit", "{ended}");
}

fn time_limit() -> Check {
    Check::new(&[], |tier| {
        let (site, mark, before) = (Site::new(), mark(), host_objects());
        let deaf = format!("setsid sleep {mark} & trap '' TERM; sleep {mark}; sleep {mark}");
        for script in [format!("exec sleep {mark}"), deaf] {
            let outcome = site.run(Run::bash(tier, &script).options(["--timeout", "300ms"]));
            assert_timed_out(&outcome, &mark, &before);
        }
    })
}

fn killed_reaper() -> Check {
    Check::new(&[], |tier| {
        let (site, mark, before) = (Site::new(), mark(), host_objects());
        let script = format!("setsid sleep {mark} & (sleep {mark} &); echo up; exec sleep {mark}");
        let (mut child, log) = start(&site, &Run::bash(tier, &script));
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        assert_eq!(line, "up\n");
        let family = below(child.id());
        let reaper = family.iter().find(|one| name(one.pid) == "keyblind-reaper").expect("a reaper");
        let pid = Pid::from_raw(i32::try_from(reaper.pid).expect("a process id"));
        kill(pid, Signal::SIGKILL).expect("the reaper can be killed");
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).expect("the end of stdout");
        let mut stderr = Vec::new();
        child.stderr.take().expect("a pipe").read_to_end(&mut stderr).expect("the end of stderr");
        let status = child.wait().expect("an end");
        assert_nothing_left(&mark, &family, &before, "after the reaper was killed");
        let outcome = Outcome { tier, stdout: rest, stderr, status, log };
        let ended = ended(outcome.assert_code(137));
        assert_eq!(ended["stopped"], "the reaper was killed", "{ended}");
    })
}

/// A daemon that never waits for its children often ignores SIGCHLD, and that is inherited.
fn caller_that_ignores_sigchld() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let run =
            Run::bash(tier, "(exit 5); echo $?; exit 3").caller("set -- env --ignore-signal=CHLD \"$@\"");
        let outcome = site.run(run);
        outcome.assert_code(3).assert_supervised();
        assert_eq!(outcome.stdout, b"5\n", "{outcome}");
    })
}

/// Nobody could continue it, and SIGTERM waits until somebody does.
fn stopped_command() -> Check {
    Check::new(&[], |tier| {
        let (site, mark, before) = (Site::new(), mark(), host_objects());
        let script = format!("sleep {mark} & kill -STOP $$; trap '' TERM; kill -STOP $$; sleep {mark}");
        let outcome = site.run(Run::bash(tier, &script).options(["--timeout", "300ms"]));
        assert_timed_out(&outcome, &mark, &before);
    })
}

/// Signals go to process groups, and a command may leave the one that it was given.
fn command_in_another_group() -> Check {
    Check::new(&[Feature::Perl], |tier| {
        const MOVE: &str = "$child = fork // die; if (!$child) { setpgrp; print STDERR 'x'; exec 'sleep', $ARGV[0] }\n\
             setpgrp($child, $child); setpgrp(0, $child) or die \"setpgrp: $!\"; print getpgrp == $child ? \"moved\\n\" : \"not moved\\n\";\n\
             $| = 1; print ''; exec 'sleep', $ARGV[0] unless $ARGV[1]; $SIG{TERM} = 'IGNORE'; sleep 1 while 1";
        let (site, mark, before) = (Site::new(), mark(), host_objects());
        for deaf in ["", "1"] {
            let run =
                Run::new(tier, ["/usr/bin/perl", "-e", MOVE, &mark, deaf]).options(["--timeout", "500ms"]);
            let outcome = site.run(run);
            assert_eq!(outcome.stdout, b"moved\n", "{outcome}");
            assert_timed_out(&outcome, &mark, &before);
        }
    })
}
