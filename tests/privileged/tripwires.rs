//! Tripwires of the tier `mount`: empty objects where the host has guarded ones, watched by fanotify.

use keyblind_tests::{Outcome, Run, Site, Tier, require};
use serde_json::Value;

const GUARD: &str = "aws.credentials";

/// Runs a script as root's run, in which the site's `.aws/credentials` is a tripwire.
fn run(site: &Site, script: &str, mode: &str) -> Outcome {
    let outcome = site.run(Run::bash(Tier::Mount, script).options(["--mode", mode]));
    outcome.assert_supervised().assert_clean(site);
    outcome
}

/// Every event about an access, each of which must be of this kind and about the site's tripwire.
#[track_caller]
fn accesses(outcome: &Outcome, site: &Site, kind: &str) -> Vec<Value> {
    let events: Vec<Value> = outcome
        .events()
        .into_iter()
        .filter(|event| event["kind"].as_str().is_some_and(|kind| kind.starts_with("access.")))
        .collect();
    let path = site.home().join(".aws/credentials").display().to_string();
    for event in &events {
        assert_eq!(event["kind"], kind, "{event}");
        assert_eq!(event["object"]["guard"], GUARD, "{event}");
        assert_eq!(event["object"]["path"], path, "{event}");
        assert_eq!(
            (&event["layer"], &event["hook"]),
            (&"fanotify".into(), &"FAN_OPEN_PERM".into()),
            "{event}"
        );
    }
    events
}

fn tally(outcome: &Outcome) -> Value {
    outcome.events_of("run.ended")[0]["ended"]["tally"].clone()
}

#[test]
fn an_open_is_refused_and_recorded_once() {
    require!(Root, Fanotify);
    let site = Site::new();
    let outcome = run(&site, "cat ~/.aws/credentials; echo status $?", "enforce");
    assert_eq!(outcome.stdout, b"status 1\n", "{outcome}");
    assert!(outcome.text().contains("Operation not permitted"), "{outcome}");
    let events = accesses(&outcome, &site, "access.denied");
    let [event] = events.as_slice() else { panic!("{} events\n{outcome}", events.len()) };
    assert_eq!((&event["verdict"], &event["errno"]["name"]), (&"deny".into(), &"EPERM".into()), "{event}");
    assert_eq!(event["access"]["operation"], "read", "{event}");
    assert!(event["object"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{event}");
    let process = &event["process"];
    assert_eq!((&process["name"], &process["exe"]), (&"cat".into(), &"/usr/bin/cat".into()), "{event}");
    assert!(process["pid"].as_u64() > Some(1) && process["start_ticks"].is_u64(), "{event}");
    let ancestors: Vec<&Value> = event["lineage"].as_array().expect("a lineage").iter().collect();
    assert_eq!(ancestors.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["bash"], "{event}");
    let tally = tally(&outcome);
    assert_eq!((&tally["denied"], &tally["flagged"]), (&1.into(), &0.into()), "{tally}");
}

/// What passes in audit mode is the empty object: the secret is not in the tree.
#[test]
fn an_audit_lets_pass_and_flags() {
    require!(Root, Fanotify);
    let site = Site::new();
    let outcome = run(&site, "cat ~/.aws/credentials; echo status $?", "audit");
    assert_eq!(outcome.text(), "status 0\n", "{outcome}");
    let events = accesses(&outcome, &site, "access.flagged");
    let [event] = events.as_slice() else { panic!("{} events\n{outcome}", events.len()) };
    assert!(event["errno"].is_null(), "{event}");
    let tally = tally(&outcome);
    assert_eq!((&tally["denied"], &tally["flagged"]), (&0.into(), &1.into()), "{tally}");
}

/// Whatever the journal makes of so many alike, none passes and each is counted.
#[test]
fn a_thousand_opens_from_four_threads() {
    require!(Root, Fanotify, Python3);
    const OPEN: &str = "import errno, os, threading\n\
                        path = os.path.expanduser('~/.aws/credentials')\n\
                        said = []\n\
                        def work():\n \
                        for _ in range(250):\n  \
                        try: os.close(os.open(path, os.O_RDONLY)); said.append('opened')\n  \
                        except OSError as error: said.append(errno.errorcode[error.errno])\n\
                        threads = [threading.Thread(target=work) for _ in range(4)]\n\
                        for thread in threads: thread.start()\n\
                        for thread in threads: thread.join()\n\
                        print({one: said.count(one) for one in said})\n";
    let site = Site::new();
    site.write("home/project/open.py", OPEN);
    let outcome = run(&site, "exec /usr/bin/python3 open.py", "enforce");
    assert_eq!(outcome.text(), "{'EPERM': 1000}\n", "{outcome}");
    assert_eq!(accesses(&outcome, &site, "access.denied").len(), 1000, "{outcome}");
    let tally = tally(&outcome);
    assert_eq!((&tally["denied"], &tally["lost"]), (&1000.into(), &0.into()), "{tally}");
}
