//! Runs that the host service guards by kernel programs: what comes late, a service that is killed, and everybody else.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use keyblind_tests::{Outcome, Run, Service, Site, Tier};

const SCOPES: &str = "/sys/fs/cgroup/keyblind";
const TIERS: [Tier; 2] = [Tier::Kernel, Tier::KernelByUser];

fn until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a script that waits after `touch ready` until `meanwhile` is over.
fn with(site: &Site, tier: Tier, script: &str, meanwhile: impl FnOnce() + Send) -> Outcome {
    let (ready, go) = (site.project().join("ready"), site.project().join("go"));
    let script = format!("touch ready; until [ -e go ]; do sleep 0.05; done; {script}");
    thread::scope(|threads| {
        threads.spawn(|| {
            until(|| ready.exists());
            meanwhile();
            fs::write(&go, "").expect("the word to go on");
        });
        site.run(Run::bash(tier, &script))
    })
}

fn scopes() -> Vec<String> {
    let entries = fs::read_dir(SCOPES).into_iter().flatten().filter_map(Result::ok);
    let directories = entries.filter(|entry| entry.path().is_dir());
    directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_name_that_comes_while_it_runs_is_refused_and_on_record() {
    let Some(_service) = Service::up() else { return };
    for tier in TIERS {
        let mut site = Site::new();
        let text = format!("KEY={}\n", site.host.value);
        let place = site.project().join(".env");
        let outcome = with(&site, tier, "cat .env; mv .env x; ln .env y; cat x y", || {
            fs::write(&place, &text).expect("a late file");
        });
        site.plant("home/project/.env", &text);
        outcome.assert_supervised().assert_clean(&site);
        assert!(outcome.text().contains("cat: .env: Permission denied"), "{outcome}");
        let events = outcome.events_of("access.denied");
        let first = events.first().unwrap_or_else(|| panic!("no event\n{outcome}"));
        assert_eq!(
            (&first["object"]["guard"], &first["hook"]),
            (&"project.dotenv".into(), &"lsm/file_open".into())
        );
        assert_eq!((&first["tier"], &first["errno"]["name"]), (&"kernel".into(), &"EACCES".into()));
        assert_eq!(first["process"]["name"], "cat", "{first}");
        assert!(events.iter().any(|event| event["access"]["operation"] == "rename"), "{events:#?}");
    }
    assert!(scopes().is_empty(), "{:?}", scopes());
}

#[test]
fn what_the_service_guards_stays_guarded_when_it_is_killed() {
    for tier in TIERS {
        let Some(service) = Service::up() else { return };
        let mut site = Site::new();
        let text = format!("KEY={}\n", site.host.value);
        site.plant("home/project/.env", &text);
        let secret = site.home().join(".aws/credentials").display().to_string();
        let outcome = with(&site, tier, &format!("cat .env {secret}"), || service.killed());
        outcome.assert_supervised().assert_clean(&site);
        assert!(outcome.text().contains(".env: Permission denied"), "{outcome}");
        assert!(outcome.text().contains("not on record here"), "{outcome}");
        assert_eq!(outcome.events_of("run.ended").len(), 1, "{outcome}");
        // Its scope is left; the next service finds it, and finds it empty.
        let service = Service::up().expect("another service");
        until(|| scopes().is_empty());
        assert_eq!(service.status()["runs_in_all"], 0);
    }
}

#[test]
fn outside_nothing_is_refused_while_many_runs_are_guarded() {
    let Some(_service) = Service::up() else { return };
    let mut site = Site::new();
    let text = format!("KEY={}\n", site.host.value);
    let guarded = site.plant("home/project/.env", &text);
    let secret = site.home().join(".aws/credentials");
    let over = AtomicBool::new(false);
    let opened = thread::scope(|threads| {
        let opener = threads.spawn(|| {
            let mut opened = 0;
            while opened < 10_000 || !over.load(Ordering::Relaxed) {
                for path in [&guarded, &secret] {
                    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    opened += 1;
                }
            }
            opened
        });
        let runs: Vec<_> = (0..4)
            .map(|_| {
                threads.spawn(|| {
                    for number in 0..5 {
                        let tier = TIERS[number % 2];
                        let outcome = site.run(Run::bash(tier, "cat .env; echo done"));
                        outcome.assert_supervised().assert_code(0);
                        assert!(outcome.text().contains("Permission denied"), "{outcome}");
                    }
                })
            })
            .collect();
        runs.into_iter().for_each(|run| run.join().expect("five runs"));
        over.store(true, Ordering::Relaxed);
        opener.join().expect("opens outside")
    });
    assert!(opened >= 10_000);
    assert!(scopes().is_empty() && Path::new(SCOPES).exists(), "{:?}", scopes());
}

#[test]
fn an_ordinary_users_run_does_not_reach_what_its_policy_denies() {
    let Some(_service) = Service::up() else { return };
    let site = Site::new();
    let policy = site
        .write("policy.toml", "version = 1\nextends = \"default\"\n[network]\ndeny = [\"127.9.0.0/16\"]\n");
    let script = "exec 3<>/dev/udp/127.8.9.9/9 && echo near; exec 4<>/dev/udp/127.9.9.9/9 && echo denied";
    let bare = site.run(Run::bash(Tier::Bare, script));
    assert_eq!(bare.stdout, b"near\ndenied\n", "{bare}");
    let policy = ["--policy".into(), policy.into_os_string()];
    let outcome = site.run(Run::bash(Tier::KernelByUser, script).options(policy));
    outcome.assert_supervised();
    assert!(
        outcome.text().starts_with("near\n") && outcome.text().contains("Operation not permitted"),
        "{outcome}"
    );
    let events = outcome.events_of("access.denied");
    assert_eq!(events.len(), 1, "{events:#?}");
    let object = &events[0]["object"];
    assert_eq!((&object["guard"], &events[0]["process"]["name"]), (&"network.deny".into(), &"bash".into()));
    assert!(object["rule"].as_str().is_some_and(|rule| rule.contains("policy.toml:4")), "{object}");
}

/// A name that somebody gave the file before, and a file system that is mounted in the project.
#[test]
fn what_is_linked_or_mounted_in_the_project_is_refused_too() {
    let Some(_service) = Service::up() else { return };
    for tier in TIERS {
        let mut site = Site::new();
        let text = format!("KEY={}\n", site.host.value);
        let secret = site.plant("home/project/.env", &text);
        fs::hard_link(&secret, site.project().join("alias")).expect("a second name");
        let inner = site.project().join("volume one/inner");
        fs::create_dir_all(&inner).expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inner).status();
        assert!(mounted.is_ok_and(|status| status.success()));
        fs::write(inner.join(".env"), &text).expect("a file on another file system");
        let script = "cat alias; cat 'volume one/inner/.env'; echo end";
        let bare = site.run(Run::bash(Tier::Bare, script));
        assert_eq!(bare.text().matches("KEY=").count(), 2, "{bare}");
        let outcome = site.run(Run::bash(tier, script));
        let unmounted = Command::new("umount").arg(&inner).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
        outcome.assert_supervised();
        assert_eq!(outcome.text().matches("Permission denied").count(), 2, "{outcome}");
        assert_eq!(outcome.stdout, b"end\n");
        assert_eq!(outcome.events_of("access.denied").len(), 2, "{outcome}");
    }
}
