//! Clients that lie, flood, or stop half-way: each costs itself.

use keyblind_tests::require;

use super::*;

/// The last line that a client says, and that the service goes on.
fn last(machine: &Machine, uid: u32, steps: &[&str]) -> String {
    let lines = machine.client(uid, steps);
    machine.status(0);
    lines.last().cloned().unwrap_or_default()
}

#[test]
fn a_user_has_only_runs_of_its_own() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    assert!(last(&machine, USER, &["begin:r-a:0"]).contains("a run of user 0 was asked for by user 1000"));
    assert!(last(&machine, USER, &["begin:r-a:1001"]).contains("refuses"));
    assert_eq!(machine.status(0)["runs_in_all"], 0);
    assert_eq!(machine.status(0)["refused"], 2);
}

#[test]
fn a_run_id_is_taken_once() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let (_client, pid) = Client::with_run(&machine, USER, "r-taken");
    assert!(last(&machine, OTHER, &["begin:r-taken"]).contains("the run id r-taken is taken"));
    assert!(last(&machine, USER, &["begin:r-taken"]).contains("the run id r-taken is taken"));
    assert!(lives(pid));
    // A run that root started without the service: not ours to join, nor to remove.
    let foreign = scopes().join("r-foreign");
    fs::create_dir(&foreign).expect("a cgroup");
    assert!(last(&machine, USER, &["begin:r-foreign"]).contains("is taken"));
    assert!(foreign.exists());
    fs::remove_dir(&foreign).expect("it is empty");
}

/// What is moved into a scope is killed with it: it must be the client's own.
#[test]
fn a_process_of_somebody_else_is_not_moved() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let service = machine.up(&[]);
    let mut bystanders: Vec<Child> = [0, OTHER, USER]
        .iter()
        .map(|uid| Command::new("/bin/sleep").arg("1000").uid(*uid).gid(*uid).spawn().expect("a process"))
        .collect();
    let mut targets: Vec<u32> = bystanders.iter().map(Child::id).collect();
    targets.extend([service.pid(), std::process::id()]);
    for pid in targets {
        let before = cgroup_of(pid);
        let line = last(&machine, USER, &["begin:r-steals", &format!("enter:{pid}")]);
        assert!(line.contains("not moved into the scope: it is not a child of the client"), "{line}");
        assert_eq!(cgroup_of(pid), before);
        machine.until(|status| status["runs_in_all"] == 0);
        assert!(lives(pid));
    }
    for bystander in &mut bystanders {
        bystander.kill().expect("it was alive");
        bystander.wait().expect("it ends");
    }
}

#[test]
fn a_scope_is_entered_once() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let line = last(&machine, USER, &["begin:r-once", "child", "child"]);
    assert!(line.contains("a scope is entered once"), "{line}");
}

/// A process inside a run has no business here, whoever it belongs to.
#[test]
fn a_process_of_a_run_gets_none() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let inside = scopes().join("r-inside");
    fs::create_dir(&inside).expect("a cgroup");
    for uid in [USER, 0] {
        let script = format!(
            "echo $$ > {}/cgroup.procs && exec setpriv --reuid {uid} --regid {uid} --clear-groups {} {} begin:r-nested",
            inside.display(),
            machine.client_program().display(),
            machine.socket.display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("a process inside the run r-inside asked for it"), "{output:?}");
    }
    fs::remove_dir(&inside).expect("it is empty");
    let recorded = fs::read_to_string("/var/lib/keyblind/events.jsonl").expect("the journal");
    let refused =
        recorded.lines().rev().take(200).find(|line| line.contains("a process inside the run r-inside"));
    assert!(refused.is_some_and(|line| line.contains("\"host.refused\"")));
}

/// Packets that are no messages end their connection and no other.
#[test]
fn what_is_no_message_costs_its_connection() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let (client, pid) = Client::with_run(&machine, USER, "r-steady");
    for (step, words) in [
        ("packet:0201", "version 2 of the protocol"),
        ("packet:01", "ends early"),
        ("packet:01ff", "unknown kind 255"),
        ("packet:010100", "bytes after its end"),
        ("packet:0102", "ends early"),
        ("packet:01020400722d2e2e", "bad run"),
        ("packet:0104", "a run begins once, after its registration"),
        ("packet:0105", "a scope is entered once it is there"),
        ("packet:0106", "a run ends once it has begun"),
        ("packet:01030000", "guards belong to a run that is registered"),
        ("packet:010800", "only root can end the service"),
        ("long", "longer than 32768 bytes"),
        ("descriptors:65", "more than 64 descriptors"),
    ] {
        let line = last(&machine, USER, &[step]);
        assert!(line.contains(words) && line.ends_with(", closed"), "{line}");
    }
    assert_eq!(last(&machine, USER, &["descriptors:64"]), "descriptors:64: served, open");
    assert!(lives(pid));
    client.end();
}

/// Each connection above a user's bound is turned away, and other users notice nothing.
#[test]
fn a_flood_of_connections_is_its_users_alone() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let mut flood = Client::start(&machine, USER, &["connections:1000", "hold"]);
    assert_eq!(flood.line(), "connections:1000: 320 served");
    assert_eq!(flood.line(), "hold: holding");
    assert!(last(&machine, USER, &["begin:r-flood"]).contains("too many connections of this user"));
    let (client, pid) = Client::with_run(&machine, OTHER, "r-other");
    assert_eq!(cgroup_of(pid), "/keyblind/r-other");
    client.end();
    flood.end();
    let line = loop {
        // Its connections are gone when the service has seen it.
        let line = last(&machine, USER, &["begin:r-again"]);
        if !line.contains("too many") {
            break line;
        }
    };
    assert_eq!(line, "begin:r-again: begun []");
    assert!(machine.status(0)["refused"].as_u64() >= Some(680));
}

#[test]
fn a_flood_of_requests_keeps_nobody_else_from_an_answer() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let mut flood = Client::start(&machine, USER, &["requests:6000", "hold"]);
    let (client, _) = Client::with_run(&machine, OTHER, "r-beside");
    client.end();
    assert_eq!(flood.line(), "requests:6000: 6000 answered");
}

/// Clients that say nothing, or stop in the middle, are in nobody's way.
#[test]
fn half_open_clients_are_in_nobodys_way() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let steps = ["silence"; 100].into_iter().chain(["hold"]).collect::<Vec<_>>();
    let mut silent = Client::start(&machine, USER, &steps);
    while silent.line() != "hold: holding" {}
    for n in 0..20 {
        assert_eq!(
            last(&machine, USER, &[&format!("begin:r-half{n}"), "die"]),
            format!("begin:r-half{n}: begun []")
        );
    }
    machine.until(|status| status["runs_in_all"] == 0);
    assert!(open_scopes("r-half").is_empty());
    silent.end();
}
