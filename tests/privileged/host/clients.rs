//! What an honest client gets.

use keyblind_tests::require;

use super::*;

#[test]
fn a_users_run_has_its_scope_until_it_ends() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let mut service = machine.up(&[]);
    let (client, pid) = Client::with_run(&machine, USER, "r-own");
    assert_eq!(cgroup_of(pid), "/keyblind/r-own");
    let status = machine.status(USER);
    assert_eq!(status["runs"][0]["run"], "r-own");
    assert_eq!(
        (status["runs"][0]["uid"].as_u64(), status["runs"][0]["processes"].as_u64()),
        (Some(1000), Some(1))
    );
    let others = machine.status(OTHER);
    assert_eq!((others["runs"].as_array().map(Vec::len), others["runs_in_all"].as_u64()), (Some(0), Some(1)));
    client.end();
    machine.until(|status| status["runs_in_all"] == 0);
    assert!(is_over(pid) && open_scopes("r-own").is_empty());
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended().0, Some(0));
}

/// What a run leaves behind is killed when it says that it has ended, and its answer comes after that.
#[test]
fn the_end_of_a_run_is_the_end_of_its_processes() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let lines = machine.client(USER, &["begin:r-end", "child", "end"]);
    assert_eq!(lines[2], "end: denied 0", "{lines:?}");
    assert!(open_scopes("r-end").is_empty());
    let pid: u32 = lines[1].strip_prefix("child: ").and_then(|pid| pid.parse().ok()).expect("a process");
    assert!(!lives(pid));
}

#[test]
fn what_is_in_a_scope_dies_with_its_client() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let (client, pid) = Client::with_run(&machine, USER, "r-dies");
    client.kill();
    assert!(is_over(pid), "it outlives its client");
    machine.until(|status| status["runs_in_all"] == 0);
    assert!(open_scopes("r-dies").is_empty());
    assert!(names(Path::new(STATE).join("scopes").as_path()).is_empty());
}

/// Root may ask for anybody's run.
#[test]
fn root_asks_for_a_run_of_a_user() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let mut client = Client::start(&machine, 0, &["begin:r-of:1000", "child", "hold"]);
    assert_eq!(client.line(), "begin:r-of:1000: begun []");
    assert!(client.line().starts_with("child: "));
    client.line();
    assert_eq!(machine.status(USER)["runs"][0]["run"], "r-of");
}

/// A guard is for what its user can read, and for nothing that a user can make wait.
#[test]
fn a_guard_is_for_what_its_user_can_read() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let site = &machine.site;
    let own = site.write("home/own", "x");
    let foreign = site.root().join("foreign");
    fs::write(&foreign, "x").expect("a file");
    fs::set_permissions(&foreign, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let steps: Vec<String> = [own.as_path(), &foreign, Path::new("/dev/null")]
        .iter()
        .map(|path| format!("guard:{}", path.display()))
        .chain(["begin:r-guards".to_owned()])
        .collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let lines = machine.client(USER, &steps);
    let answer = &lines[3];
    assert!(answer.contains(&format!("{}: the user may not read it", foreign.display())), "{answer}");
    assert!(answer.contains("/dev/null: it is neither a file nor a directory"), "{answer}");
    let readable = format!("{}: the user may not", own.display());
    assert!(answer.contains("begun") && !answer.contains(&readable), "{answer}");
}

#[test]
fn two_hundred_runs_at_once() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let clients: Vec<_> =
        (0..200).map(|n| Client::with_run(&machine, USER, &format!("r-many{n}")).0).collect();
    let status = machine.status(USER);
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(200));
    for client in clients {
        client.end();
    }
    machine.until(|status| status["runs_in_all"] == 0);
    assert!(open_scopes("r-many").is_empty());
}

/// What a run must not reach, and what the host's policy denies (by default the clouds' metadata), in one.
#[test]
fn denied_addresses_are_out_of_reach_in_a_scope() {
    require!(Root, CgroupV2, Probes);
    let machine = Machine::new();
    let _service = machine.up(&[]);
    let open = machine.client(USER, &["begin:r-open", "udp:127.9.9.9,127.8.9.9", "end"]);
    assert_eq!(open[1], "udp:127.9.9.9,127.8.9.9: connected, connected");
    let denied = "udp:127.9.9.9,127.8.9.9,169.254.169.254";
    let lines = machine.client(USER, &["deny:127.9.0.0/16", "begin:r-deny", denied, "end"]);
    let said = "Operation not permitted, connected, Operation not permitted";
    assert_eq!(lines[2], format!("{denied}: {said}"));
    assert_eq!(lines[3], "end: denied 2");
}
