//! How the service ends, and what is there afterwards.

use std::time::{Duration, Instant};

use keyblind_tests::require;

use super::*;

/// Stopping the service ends no run: the next one finds it.
#[test]
fn a_signal_ends_no_run_and_the_next_one_adopts_it() {
    require!(Root, CgroupV2);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let machine = Machine::new();
        let mut service = machine.up(&[]);
        let (client, pid) = Client::with_run(&machine, USER, "r-goeson");
        service.signal(signal);
        if signal != Signal::SIGKILL {
            assert!(service.hears("STOPPING=1"));
        }
        let (status, said) = service.ended();
        assert_eq!(status, (signal != Signal::SIGKILL).then_some(0), "{said}");
        assert!(lives(pid));
        assert_eq!(cgroup_of(pid), "/keyblind/r-goeson");
        let _next = machine.up(&[]);
        let status = machine.status(USER);
        assert_eq!(status["runs"][0]["adopted"], true, "{status}");
        assert_eq!(status["runs"][0]["command"], "host-client");
        client.end();
        assert!(is_over(pid));
        machine.until(|status| status["runs_in_all"] == 0);
        assert!(open_scopes("r-goeson").is_empty());
    }
}

#[test]
fn down_waits_for_runs_or_ends_them_and_leaves_nothing() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let mut service = machine.up(&[]);
    let (_client, pid) = Client::with_run(&machine, USER, "r-busy");
    let busy = machine.keyblind(&["down"]);
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(busy.status.code() == Some(125) && said.contains("r-busy would lose its guard"), "{said}");
    assert!(lives(pid));
    let theirs = machine.keyblind_as(USER, &["down", "--end-runs"]);
    assert_eq!(theirs.status.code(), Some(125));
    assert!(lives(pid));
    let down = machine.keyblind(&["down", "--end-runs"]);
    assert!(down.status.success(), "{down:?}");
    // It has ended when `down` returns.
    assert!(!lives(pid));
    assert!(open_scopes("r-busy").is_empty());
    assert_eq!(names(Path::new(STATE)), BTreeSet::new());
    assert!(!machine.socket.exists());
    assert_eq!(service.ended().0, Some(0));
    assert_eq!(machine.keyblind(&["down"]).status.code(), Some(1));
}

/// A cgroup that is not written down is somebody else's.
#[test]
fn what_others_have_made_is_left_alone() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let foreign = scopes().join("r-byroot");
    fs::create_dir_all(&foreign).expect("a cgroup");
    let mut service = machine.up(&[]);
    assert!(machine.keyblind(&["down", "--end-runs"]).status.success());
    service.ended();
    assert!(foreign.exists());
    fs::remove_dir(foreign).expect("it is empty");
}

/// A file that cannot be used changes nothing; the next good one does.
#[test]
fn a_broken_policy_keeps_the_old_one() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let file = machine.site.root().join("policy.toml");
    let write = |text: &str| fs::write(&file, text).expect("a policy");
    write("version = 1\n");
    let mut service = machine.up(&["--policy", file.to_str().expect("a path")]);
    let first = machine.status(0);
    let mut reload = |text: &str| {
        write(text);
        service.signal(Signal::SIGHUP);
        assert!(service.hears("RELOADING=1") && service.hears("READY=1"));
        machine.status(0)
    };
    let broken = reload("version = 1\nalow = 1\n");
    assert_eq!(broken["generation"], first["generation"]);
    let why = broken["stale"].as_str().expect("a text").to_owned();
    assert!(why.contains("keeps generation") && why.contains("unknown key `alow`"), "{why}");
    let second = reload("version = 1\nmode = \"audit\"\n");
    assert_ne!(second["generation"], first["generation"]);
    assert_eq!(second["stale"], "");
}

/// Whenever it is killed, the next one finds every run that goes on, and removes what is left of the others.
#[test]
fn killed_at_any_moment_it_loses_no_run() {
    const INSTANTS: u32 = 200;
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let mut clients: Vec<Client> = (0..2).map(|_| Client::start(&machine, USER, &["churn"])).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "churn: begun");
    }
    let (steady, pid) = {
        let service = machine.up(&[]);
        let steady = Client::with_run(&machine, USER, "r-steady");
        service.killed();
        steady
    };
    let mut seed = Instant::now().elapsed().subsec_nanos() ^ std::process::id();
    for instant in 0..INSTANTS {
        let service = machine.up(&[]);
        // xorshift: after some runs, and somewhere in the middle of another one.
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        for _ in 0..seed % 6 {
            assert_eq!(clients[0].line(), "churn: a run");
        }
        let until = Instant::now() + Duration::from_micros(u64::from(seed >> 8) % 3_000);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        service.killed();
        assert!(lives(pid), "instant {instant}");
        assert_eq!(cgroup_of(pid), "/keyblind/r-steady", "instant {instant}");
    }
    let done: Vec<String> = clients.into_iter().filter_map(|client| client.end().pop()).collect();
    let counts = |word: &str| -> u32 {
        let count = |line: &String| {
            let before = line.split(&format!(" {word}")).next()?;
            before.rsplit([' ', ',']).next()?.parse::<u32>().ok()
        };
        done.iter().filter_map(count).sum()
    };
    assert!(counts("done") > INSTANTS && counts("left") > 0, "nothing was going on: {done:?}");
    let mut service = machine.up(&[]);
    // Of the clients that are gone nothing is left; of the one that is there, everything.
    let status = machine.until(|status| status["runs_in_all"] == 1);
    assert_eq!(
        (&status["runs"][0]["run"], &status["runs"][0]["adopted"]),
        (&"r-steady".into(), &true.into())
    );
    assert_eq!(open_scopes("r-"), ["r-steady".to_owned()].into());
    assert_eq!(names(&Path::new(STATE).join("scopes")), ["r-steady".to_owned()].into());
    assert!(lives(pid));
    steady.end();
    assert!(machine.keyblind(&["down", "--end-runs"]).status.success());
    service.ended();
    assert_eq!(names(Path::new(STATE)), BTreeSet::new());
}
