//! `keyblind doctor`: what it says of a host must be what a run there does.

use keyblind_tests::{Check, Outcome, Run, Site, Tier, in_each_tier};
use serde_json::Value;

in_each_tier!(Check; one_object_with_every_row, below_the_minimum);

/// A verb of keyblind, to be started as runs of `tier` are.
pub(crate) fn line(site: &Site, tier: Tier, words: &[&str]) -> Run {
    let program = |name: &str| site.bin().join(name).display().to_string();
    let filter = (tier == Tier::InPlace).then(|| program("no-namespaces"));
    let words = words.iter().map(|word| (*word).to_owned());
    let line = filter.into_iter().chain([program("keyblind")]).chain(words);
    let run = Run::new(Tier::Bare, line).variable("TMPDIR", site.root().join("temporary"));
    if tier == Tier::Mount { run.by_root() } else { run }
}

pub(crate) fn verb(site: &Site, tier: Tier, words: &[&str]) -> Outcome {
    site.run(line(site, tier, words))
}

/// A site with a directory for temporary files, to see that nothing stays in it.
pub(crate) fn site() -> Site {
    let site = Site::new();
    let file = site.write("temporary/file", "");
    std::fs::remove_file(file).expect("an empty directory");
    site
}

pub(crate) fn nothing_is_left(site: &Site) {
    let left: Vec<_> = site.root().join("temporary").read_dir().expect("the directory").flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn examine(site: &Site, tier: Tier, words: &[&str]) -> (Outcome, Value) {
    let user = nix::unistd::geteuid().is_root().then_some("1000").filter(|_| tier == Tier::Mount);
    let mut line = vec!["doctor", "--json"];
    line.extend(user.into_iter().flat_map(|user| ["--user", user]));
    line.extend(words);
    let outcome = verb(site, tier, &line);
    let object =
        serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.text()));
    (outcome, object)
}

fn one_object_with_every_row() -> Check {
    Check::new(&[], |tier| {
        let site = site();
        let (outcome, object) = examine(&site, tier, &[]);
        assert_eq!(object["tier"], tier.name(), "{object}");
        let layers: Vec<&str> =
            rows(&object["layers"]).map(|row| row["layer"].as_str().expect("a name")).collect();
        assert_eq!(
            layers,
            [
                "BPF-LSM",
                "host service",
                "fanotify",
                "user namespace",
                "Landlock",
                "seccomp",
                "cgroup v2",
                "memory",
                "ssh-agent",
                "groups",
            ]
        );
        for row in rows(&object["layers"]) {
            assert!(
                row["state"].is_string() && row["evidence"] != "" && row["to_get_it"].is_string(),
                "{row}"
            );
        }
        let gaps = rows(&object["promises"]).filter(|row| row["held"] == false).count();
        assert!(rows(&object["promises"]).any(|row| row["held"] == true), "{object}");
        assert!(
            object["result"].as_str().expect("a result").contains(&format!("{gaps} promises not held")),
            "{object}"
        );
        let test = &object["self_test"];
        assert_eq!(test["verdict"], "held", "{object}");
        for run in rows(&test["runs"]) {
            assert_eq!((&run["tier"], &run["canary_bytes"]), (&tier.name().into(), &0.into()), "{run}");
            assert_eq!(run["events"]["seen"], run["events"]["expected"], "{run}");
            assert!(rows(&run["attempts"]).all(|attempt| attempt["errno"].is_string()), "{run}");
        }
        // The site's own secrets were tried in the person's own home, and stay in it.
        let real = rows(&test["runs"]).last().expect("a run");
        let credentials = site.home().join(".aws/credentials").display().to_string();
        let tried =
            rows(&real["attempts"]).find(|attempt| attempt["path"] == *credentials).expect("it was tried");
        let errno = if tier == Tier::Mount { "EPERM" } else { "EACCES" };
        assert_eq!(tried["errno"], errno, "{real}");
        assert_eq!(outcome.code(), 1, "{}", outcome.text());
        nothing_is_left(&site);
        assert_eq!(site.leaked_files(), Vec::<std::path::PathBuf>::new());
    })
}

fn below_the_minimum() -> Check {
    Check::new(&[], |tier| {
        let site = site();
        let policy =
            site.write("policy.toml", "version = 1\n[tier]\nminimum = \"kernel\"\n").display().to_string();
        let (outcome, object) = examine(&site, tier, &["--policy", &policy]);
        let result = object["result"].as_str().expect("a result");
        assert!(result.starts_with("not enforcing: a run is refused: "), "{result}");
        assert!(result.contains("policy asks for tier kernel") && result.contains(&policy), "{result}");
        assert_eq!(outcome.code(), 2);
    })
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().expect("a list").iter()
}
