//! Each tier on this kernel: what doctor says of it, and what a run holds and leaves.

use std::path::PathBuf;

use keyblind_tests::{Outcome, Run, Site, Tier};
use serde_json::Value;

use crate::guest::{Traces, has_bpf, kernel};

const TIERS: [Tier; 3] = [Tier::Mount, Tier::User, Tier::InPlace];

/// Reads a secret, first bare, then in `tier`, which must refuse it.
fn refused(site: &Site, tier: Tier, secret: PathBuf) -> Outcome {
    let words = ["/bin/cat".into(), secret];
    let bare = site.run(Run::new(Tier::Bare, words.clone()));
    assert!(site.canary(".aws/credentials").is_in(&bare.stdout), "{bare}");
    let outcome = site.run(Run::new(tier, words));
    outcome.assert_supervised().assert_code(1).assert_clean(site);
    assert!(outcome.stdout.is_empty(), "{outcome}");
    outcome
}

#[test]
fn a_guarded_file_is_refused_in_every_tier() {
    for tier in TIERS {
        let site = Site::new();
        let secret = site.home().join(".aws/credentials");
        let outcome = refused(&site, tier, secret);
        let errno = if tier == Tier::Mount { "Operation not permitted" } else { "Permission denied" };
        assert!(outcome.text().contains(errno), "{outcome}");
        if tier == Tier::Mount {
            assert_eq!(outcome.events_of("access.denied").len(), 1, "{outcome}");
        }
    }
}

#[test]
fn a_run_leaves_nothing_behind() {
    for tier in TIERS {
        let site = Site::new();
        // The first run makes what stays: the directory of all runs' cgroups.
        site.run(Run::bash(tier, "true")).assert_supervised().assert_code(0);
        let before = Traces::look();
        let script = "touch /tmp/x /dev/shm/x; (setsid sleep 600 </dev/null >/dev/null 2>&1 &); exit 3";
        site.run(Run::bash(tier, script)).assert_supervised().assert_code(3);
        let after = Traces::look();
        let left = after.since(&before);
        assert!(left.is_empty(), "{}: {left:#?}", tier.name());
    }
}

/// `keyblind doctor --json` as whoever starts the runs of `tier`.
fn doctor(tier: Tier) -> (Site, Value) {
    let site = Site::new();
    let program = |name: &str| site.bin().join(name).display().to_string();
    let filter = (tier == Tier::InPlace).then(|| program("no-namespaces"));
    let line = filter.into_iter().chain([program("keyblind"), "doctor".to_owned(), "--json".to_owned()]);
    let run = if tier == Tier::Mount {
        Run::new(Tier::Bare, line.chain(["--user".to_owned(), "1000".to_owned()])).by_root()
    } else {
        Run::new(Tier::Bare, line)
    };
    let outcome = site.run(run);
    let object = serde_json::from_slice(&outcome.stdout);
    let object = object.unwrap_or_else(|error| panic!("{error}: {outcome}"));
    (site, object)
}

fn layer(object: &Value, name: &str) -> Value {
    let rows = object["layers"].as_array().expect("layers");
    rows.iter()
        .find(|row| row["layer"] == name)
        .unwrap_or_else(|| panic!("no layer {name}: {object}"))
        .clone()
}

/// What this kernel offers is what doctor says, and its own runs show that it is so.
#[test]
fn doctor_says_what_this_kernel_offers() {
    let landlock = match kernel().as_str() {
        "6.1" => "ABI 2 (files); no scopes",
        "6.12" => "ABI 6 (truncate, ioctl, scopes: signal, abstract socket)",
        "7.2" => "ABI 10 (truncate, ioctl, scopes: signal, abstract socket)",
        other => panic!("say what Landlock offers on {other}"),
    };
    for tier in TIERS {
        let (site, object) = doctor(tier);
        assert_eq!(object["tier"], tier.name(), "{object:#}");
        assert_eq!(layer(&object, "Landlock")["evidence"], landlock);
        assert_eq!(object["self_test"]["verdict"], "held", "{object:#}");
        assert_eq!(site.leaked_files(), Vec::<PathBuf>::new());
    }
}

/// Whatever this build could do, a kernel without `bpf` is the reason that doctor gives.
#[test]
fn doctor_says_whether_bpf_is_among_the_security_modules() {
    let (_, object) = doctor(Tier::Mount);
    let evidence = layer(&object, "BPF-LSM")["evidence"].as_str().expect("evidence").to_owned();
    assert_eq!(evidence.contains("no bpf in lsm="), !has_bpf(), "{evidence}");
}
