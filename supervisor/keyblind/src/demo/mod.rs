#![forbid(unsafe_code)]
//! `keyblind demo`: a hostile tool, bare and supervised, with keys that were made just now.
//!
//! `scene` plants, `attacks` lists what is tried, `verdict` reads cells off what was seen. Nothing is known in advance:
//! an attack that shows nothing bare proves nothing, and one that gets through reads NOT HELD.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::io;

use keyblind_events::Tier;

use crate::host::Host;
use crate::trial::{Machine, PlaceError};

mod attacks;
mod jobs;
mod metadata;
mod scene;
mod verdict;

use attacks::Attack;
use jobs::Jobs;
use scene::{Scene, gaps};
use verdict::{Cells, Gap, Verdict, judge};

/// Why nothing could be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The fakes could not be planted.
    #[error("demo: {0}")]
    Place(String),
    /// `keyblind run` refuses.
    #[error("demo: nothing can be supervised here: {why}; `keyblind doctor` says more")]
    Refused {
        /// What it said.
        why: String,
    },
    /// The page cannot be written.
    #[error("demo: cannot write to standard output: {0}")]
    Output(io::Error),
    /// Something that the demo needs from the system.
    #[error("demo: cannot {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl From<PlaceError> for DemoError {
    fn from(error: PlaceError) -> Self {
        Self::Place(error.to_string())
    }
}

impl DemoError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// What the page comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every attack that could be tried was held, and every job did what it does bare.
    Held,
    /// Something got through, or was broken.
    NotHeld,
}

/// Shows it, line by line as it happens.
pub fn show(line: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<Outcome, DemoError> {
    let mut say = |text: &str| line(text).map_err(DemoError::Output);
    let host = Host::probe();
    let mut scene = Scene::plant(&host)?;
    let first =
        scene.stage.supervised(&[OsStr::new("true")], b"").map_err(DemoError::system("start keyblind"))?;
    let tier =
        first.events.iter().find_map(|event| event.envelope.context.tier).filter(|_| first.status == 0);
    let Some(tier) = tier else {
        let why = first.refusal().unwrap_or_else(|| format!("`true` ended with status {}", first.status));
        return Err(DemoError::Refused { why });
    };
    let mut page = Page {
        tier,
        gaps: gaps(&first),
        held: 0,
        tried: 0,
        recorded: first.events.len(),
        reasons: BTreeSet::new(),
    };
    for text in heading(&host, tier, &scene) {
        say(&text)?;
    }
    for (number, attack) in (1..).zip(attacks::ALL) {
        let cells = page.attack(&mut scene, attack)?;
        say(&row(number, attack.title, &cells))?;
    }
    let jobs = jobs::run(&scene)?;
    page.recorded += jobs.recorded;
    say(&row(attacks::ALL.len() + 1, &jobs::title(), &jobs.cells))?;
    say("")?;
    for text in page.close(&host, &scene, &jobs) {
        say(&text)?;
    }
    let held = page.held == page.tried && jobs.same == jobs.tried;
    Ok(if held { Outcome::Held } else { Outcome::NotHeld })
}

struct Page {
    tier: Tier,
    /// What runs here say that they do not enforce.
    gaps: Vec<Gap>,
    held: usize,
    tried: usize,
    recorded: usize,
    /// The gaps through which something came.
    reasons: BTreeSet<String>,
}

impl Page {
    fn attack(&mut self, scene: &mut Scene, attack: &Attack) -> Result<Cells, DemoError> {
        if let Some(why) = scene.cannot_try(attack) {
            return Ok(Cells::not_applicable(&why));
        }
        let mut tried =
            |supervised| scene.attempt(attack, supervised).map_err(DemoError::system("try an attack"));
        let (bare, supervised) = (tried(false)?, tried(true)?);
        self.recorded += supervised.events.len();
        let (cells, verdict) = judge(attack, &bare, &supervised, self.tier, &self.gaps);
        self.tried += usize::from(verdict != Verdict::NotApplicable);
        self.held += usize::from(verdict == Verdict::Held);
        if verdict == Verdict::Leaked {
            let gaps = self.gaps.iter().filter(|gap| gap.concerns(attack));
            self.reasons.extend(gaps.map(|gap| format!("{}: {}", attack.concern, gap.why)));
        }
        Ok(cells)
    }

    fn close(&self, host: &Host, scene: &Scene, jobs: &Jobs) -> Vec<String> {
        let Self { held, tried, recorded, .. } = self;
        // The journal of root's runs is root's.
        let sudo = if host.uid.is_root() && env::var_os("SUDO_UID").is_some() { "sudo " } else { "" };
        let show = format!("    {sudo}keyblind events show --session {}", scene.stage.session);
        let mut lines = vec![format!(
            "  {held} of {tried} attacks held, {} of {} ordinary jobs unchanged. {recorded} events recorded{}",
            jobs.same,
            jobs.tried,
            if scene.journal_stays { ":" } else { "; they are gone with the fakes, as there is no HOME" },
        )];
        if scene.journal_stays {
            lines.push(format!("{show}          what happened"));
            lines.push(format!("{show} --json   the same, for programs"));
        }
        if !self.reasons.is_empty() {
            lines.push("  Not enforced here, as the first event of each run says:".to_owned());
            lines.extend(self.reasons.iter().map(|reason| format!("    {reason}")));
        }
        lines.push(
            "  Not shown here because nothing can stop it: a tool that *holds* a key may encrypt it before printing \
             (docs/threat-model.md)."
                .to_owned(),
        );
        lines
    }
}

fn heading(host: &Host, tier: Tier, scene: &Scene) -> Vec<String> {
    let Machine { distribution, kernel, user, .. } = Machine::look(host);
    let tools = scene.stage.user.map_or_else(String::new, |(uid, _)| format!(", tools as uid {uid}"));
    vec![
        format!(
            "keyblind {} demo: a hostile tool, bare and supervised. All keys are fakes made just now; nothing leaves this \
             machine.",
            env!("CARGO_PKG_VERSION")
        ),
        format!(
            "host  {distribution}, kernel {kernel}, user {user}{tools}, tier {} (`keyblind doctor` says more)",
            tier.as_str()
        ),
        String::new(),
        format!("  {:<52}{:<16}{:<26}  how", "what the tool tries", "bare", "keyblind run"),
    ]
}

fn row(number: usize, title: &str, cells: &Cells) -> String {
    let Cells { bare, supervised, how } = cells;
    format!(" {number:>2}  {title:<49}{bare:<16}{supervised:<26}  {how}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let cells = Cells { bare: "key shown".into(), supervised: "EACCES".into(), how: "tripwire".into() };
        let line = row(4, "cat ~/.aws/credentials", &cells);
        assert_eq!(line.find("key shown"), Some(54));
        assert_eq!(line.find("EACCES"), Some(70));
        assert_eq!(line.find("tripwire"), Some(98));
    }
}
