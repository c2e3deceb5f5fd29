//! `keyblind demo`: each row is there, what it says is what its status says, and nothing stays.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use keyblind_tests::{Check, Feature, Tier, in_each_tier};

use crate::doctor::{line, nothing_is_left, site, verb};

in_each_tier!(Check; every_row_and_an_honest_status, killed_it_leaves_nothing);

fn every_row_and_an_honest_status() -> Check {
    Check::new(&[Feature::Git], |tier| {
        let site = site();
        let outcome = verb(&site, tier, &["demo"]);
        let page = outcome.text();
        assert!(page.contains(&format!("tier {}", tier.name())), "{page}");
        let row = |number: usize| {
            let start = format!("{number:>3}  ");
            page.lines()
                .find(|line| line.starts_with(&start))
                .unwrap_or_else(|| panic!("no row {number}: {page}"))
        };
        let rows: Vec<&str> = (1..=13).map(row).collect();
        // What needs neither the opener nor kernel programs is held in every tier.
        for held in [1, 2, 3, 4, 7, 8, 9, 10] {
            let row = rows[held - 1];
            assert!(!row.contains("NOT HELD") && !row.contains("n.a."), "{row}");
        }
        assert!(rows[3].contains(if tier == Tier::Mount { "EPERM" } else { "EACCES" }), "{}", rows[3]);
        assert!(
            rows[8].contains("key decodes") && rows[8].contains("[REDACTED:OPENAI_API_KEY]"),
            "{}",
            rows[8]
        );
        assert!(rows[12].contains("same bytes"), "{}", rows[12]);
        let (tried, held) =
            (rows[..12].iter().filter(|row| !row.contains("n.a.")), |row: &&&str| !row.contains("NOT HELD"));
        let (tried, held) = (tried.clone().count(), tried.filter(held).count());
        assert!(page.contains(&format!("{held} of {tried} attacks held")), "{page}");
        assert_eq!(outcome.code(), i32::from(held != tried), "{page}");
        nothing_is_left(&site);
    })
}

fn killed_it_leaves_nothing() -> Check {
    Check::new(&[Feature::Git], |tier| {
        let site = site();
        let (mut command, _) = site.command(&line(&site, tier, &["demo"]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a line");
        assert!(first.contains("demo"), "{first}");
        assert!(site.root().join("temporary").read_dir().expect("the directory").next().is_some());
        child.kill().expect("it runs");
        // What removes the fakes has the other end of this pipe.
        let mut rest = Vec::new();
        child.stderr.take().expect("a pipe").read_to_end(&mut rest).expect("an end");
        child.wait().expect("an end");
        assert_eq!(String::from_utf8_lossy(&rest), "");
        nothing_is_left(&site);
    })
}
