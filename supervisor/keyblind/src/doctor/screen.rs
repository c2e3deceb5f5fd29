//! The report as a person reads it.

use std::fmt;

use super::report::{Layer, Report};
use super::selftest::Verdict;
use crate::guard::kernel::object;
use crate::trial::user;

/// Left column of the lines that stand alone.
const LABEL: usize = 12;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = match &self.policy {
            Some(policy) => format!("{} (generation {})", policy.source, policy.generation),
            None => "none that can be used".to_owned(),
        };
        writeln!(
            f,
            "keyblind {}  {} {}  probes built in: {}  policy: {policy}",
            env!("CARGO_PKG_VERSION"),
            linkage(),
            std::env::consts::ARCH,
            if probes() { "yes" } else { "no" },
        )?;
        let machine = &self.machine;
        line(
            f,
            "host",
            &format!(
                "{}, kernel {}, {}, {}",
                machine.distribution,
                machine.kernel,
                machine.user,
                self.container()
            ),
        )?;
        if let Some(person) = &self.runs_as {
            let home =
                person.home.as_ref().map_or("no home".to_owned(), |home| format!("home {}", home.display()));
            let whose = if self.stand_in { " (for this page only: nobody is named)" } else { "" };
            line(f, "runs as", &format!("{}, {home}{whose}", user(person.uid)))?;
        }
        let fell_back = if self.fell_back { "; a better one was refused when it was tried" } else { "" };
        let tier = self.tier.map_or("none", |tier| tier.name());
        line(f, "tier", &format!("{tier:<16}(kernel > mount > user > in-place){fell_back}"))?;
        writeln!(f)?;
        layers(f, &self.layers)?;
        if !self.promises.is_empty() {
            writeln!(f, "\nwhat that means here")?;
            let rows = self.promises.iter().map(|promise| {
                [
                    format!("  {}", few(&promise.what)),
                    if promise.held { "held" } else { "NOT HELD" }.to_owned(),
                    promise.note.clone(),
                ]
            });
            table(f, &rows.collect::<Vec<_>>())?;
        }
        writeln!(f)?;
        for (number, trial) in self.self_test.trials.iter().enumerate() {
            line(f, if number == 0 { "self-test" } else { "" }, &trial.summary())?;
        }
        if let (Verdict::NotRun(why), None) = (self.self_test.verdict(), &self.refused) {
            line(f, "self-test", &format!("not run: {why}"))?;
        }
        line(f, "result", &self.result())
    }
}

impl Report {
    /// Whether this is a container, and what says so.
    fn container(&self) -> String {
        let Report { machine, .. } = self;
        match (machine.container.is_empty(), machine.traces.is_empty()) {
            (false, _) => format!("in a container ({})", machine.container.join(", ")),
            (true, true) => "not in a container".to_owned(),
            (true, false) => format!(
                "not in a container (initial namespaces, though {} is there)",
                machine.traces.join(", ")
            ),
        }
    }
}

/// Whether kernel programs are part of this build.
pub(super) fn probes() -> bool {
    object().is_some()
}

pub(super) fn linkage() -> &'static str {
    if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" }
}

fn layers(f: &mut fmt::Formatter<'_>, layers: &[Layer]) -> fmt::Result {
    let heading = ["layer", "state", "evidence", "to get it"].map(str::to_owned);
    let rows = layers.iter().map(|layer| {
        [layer.name.to_owned(), layer.state.name().to_owned(), layer.evidence.clone(), layer.remedy.clone()]
    });
    table(f, &[heading].into_iter().chain(rows).collect::<Vec<_>>())
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "{label:<LABEL$}{text}")
}

/// The first names of a list, and how many more there are; no wider than a column should be.
fn few(list: &str) -> String {
    const WIDEST: usize = 36;
    let names: Vec<&str> = list.split(", ").collect();
    let text = |shown: usize| match names.len() - shown {
        0 => list.to_owned(),
        more => format!("{} and {more} more", names.get(..shown).unwrap_or_default().join(", ")),
    };
    (1..=names.len()).rev().map(text).find(|text| text.chars().count() <= WIDEST).unwrap_or_else(|| text(1))
}

/// Columns as wide as their widest cell, two blanks between them, none at the end of a line.
fn table<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::tests::report;
    use crate::doctor::{Promise, State};

    #[test]
    fn a_long_list_is_cut_between_names() {
        assert_eq!(few("host-wide audit"), "host-wide audit");
        assert_eq!(few("git.exec, shell.startup"), "git.exec, shell.startup");
        assert_eq!(few("project.dotenv, project.direnv, terraform.state"), "project.dotenv and 2 more");
        assert_eq!(few(&"x".repeat(50)), "x".repeat(50));
    }

    #[test]
    fn the_page_is_aligned_and_says_what_does_not_hold() {
        let mut report = report();
        let layer =
            |name, state, remedy: &str| Layer { name, state, evidence: "seen".into(), remedy: remedy.into() };
        report.layers = vec![
            layer("fanotify", State::NotPermitted, "start as root"),
            layer("user namespace", State::Available, ""),
        ];
        report.promises.push(Promise {
            what: "host-wide audit".into(),
            held: false,
            note: "needs tier kernel".into(),
        });
        let page = report.to_string();
        let (head, rest) = page.split_once('\n').expect("lines");
        assert!(head.ends_with("  policy: built-in default (generation 3f9c)"), "{head}");
        assert_eq!(
            rest,
            "\
host        Debian GNU/Linux 12 (bookworm), kernel 6.18.0, jo (1000), not in a container
tier        user            (kernel > mount > user > in-place)

layer           state          evidence  to get it
fanotify        not permitted  seen      start as root
user namespace  available      seen

what that means here
  files            held      absent
  host-wide audit  NOT HELD  needs tier kernel

self-test   canary read inside a run: refused EACCES, event 1 of 1 seen, 0 canary bytes in output, 11 ms
result      enforcing; 1 promise not held on this host
"
        );
    }
}
