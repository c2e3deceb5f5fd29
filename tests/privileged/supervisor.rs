//! The supervisor itself, as only root can look at it: what it holds, and what others of its user see of it.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use keyblind_tests::{Run, Site, Tier, absent, contains, require};

/// Every tier that this host has. The supervisor of `mount` belongs to root, those of the others to the user.
fn tiers() -> impl Iterator<Item = Tier> {
    [Tier::Mount, Tier::User, Tier::InPlace]
        .into_iter()
        .filter(|tier| tier.needs().and_then(absent).is_none())
}

fn start(site: &Site, run: &Run) -> Child {
    let (mut command, _) = site.command(run);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().expect("it starts")
}

/// A run that answers line by line: with the first answer, everything about its start is over.
fn answering(site: &Site, tier: Tier) -> Child {
    let mut child = start(site, &Run::new(tier, ["/bin/cat"]));
    child.stdin.as_mut().expect("a pipe").write_all(b"up\n").expect("a line");
    let mut answer = [0; 3];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut answer).expect("an answer");
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().expect("an end").success());
}

/// The process and its descendants.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|word| word.parse().ok());
    std::iter::once(pid).chain(children.flat_map(family)).collect()
}

/// Those of the family that are keyblind's own: all but the command and what it started.
fn ours(pid: u32) -> Vec<u32> {
    let is_ours = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with("keyblind")
    };
    family(pid).into_iter().filter(is_ours).collect()
}

/// Its variables were the caller's, with every secret; after the start no process of keyblind's has one in them.
#[test]
fn no_variable_of_the_caller_is_left_in_a_process_of_ours() {
    require!(Root);
    for tier in tiers() {
        let site = Site::new();
        let child = answering(&site, tier);
        for pid in ours(child.id()) {
            let block = fs::read(format!("/proc/{pid}/environ")).expect("root may read it");
            for canary in site.variables.iter() {
                assert!(
                    !canary.is_in(&block),
                    "{} is in the variables of process {pid}, {tier:?}",
                    canary.name
                );
            }
        }
        end(child);
    }
}

/// Another process of the same user, outside the run, could read it like its own.
#[test]
fn a_process_of_the_same_user_cannot_look_into_the_supervisor() {
    require!(Root);
    for tier in tiers() {
        let site = Site::new();
        let child = answering(&site, tier);
        let program = site.try_access().display().to_string();
        let pid = child.id();
        let accesses = ["environ", "mem", "maps", "fd/0"].map(|file| format!("read:/proc/{pid}/{file}"));
        let words = [program].into_iter().chain(accesses).chain([format!("ptrace:{pid}")]);
        let outcome = site.run(Run::new(Tier::Bare, words));
        let refused =
            outcome.text().lines().filter(|line| line.ends_with("EACCES") || line.ends_with("EPERM")).count();
        assert_eq!(refused, 5, "{tier:?}: {outcome}");
        end(child);
    }
}

/// Private memory in KiB.
fn private(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("root may read it");
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// Whether the process waits for room in a pipe.
fn is_blocked_writing(pid: u32) -> bool {
    let place = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    place.contains("pipe_write")
}

/// A reader that does not read must stop the command, not fill the supervisor.
#[test]
fn a_stopped_reader_does_not_fill_the_supervisor() {
    const MUCH: usize = 100 << 20;
    const MOST: u64 = 12 * 1024;
    require!(Root);
    for tier in tiers() {
        let site = Site::new();
        let pour = site.add_helper("pour").display().to_string();
        let mut child = start(&site, &Run::new(tier, [pour, MUCH.to_string()]));
        // When the command has stood still for this many looks in a row, nothing takes from it any more.
        let mut still = 0;
        while still < 1000 {
            let blocked = family(child.id()).into_iter().any(is_blocked_writing);
            still = if blocked { still + 1 } else { 0 };
            assert!(child.try_wait().expect("a status").is_none(), "it ended although nobody reads");
            std::thread::yield_now();
        }
        let held: u64 = ours(child.id()).into_iter().map(private).sum();
        assert!(held <= MOST, "{held} KiB in {tier:?}");
        let mut bytes = Vec::new();
        child.stdout.take().expect("a pipe").read_to_end(&mut bytes).expect("the stream");
        assert_eq!(bytes.len(), MUCH);
        end(child);
    }
}

/// What stands in the supervisor's arguments is there for everybody; a value has no business in it.
#[test]
fn no_value_is_in_the_arguments_of_a_process_of_ours() {
    require!(Root);
    for tier in tiers() {
        let site = Site::new();
        let child = answering(&site, tier);
        let lines: Vec<Vec<u8>> = family(child.id())
            .iter()
            .map(|pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
            .collect();
        assert!(lines.iter().any(|line| contains(line, b"keyblind")), "{tier:?}");
        let leaked = lines.iter().any(|line| site.variables.iter().any(|canary| canary.is_in(line)));
        assert!(!leaked, "{tier:?}");
        end(child);
    }
}
