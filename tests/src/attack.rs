#![forbid(unsafe_code)]
//! One technique: proven bare, then held against a tier.

use std::any::Any;

use crate::canary::shares_window;
use crate::check::can_run;
use crate::outcome::Outcome;
use crate::raw::{Arg, call};
use crate::require::Feature;
use crate::site::Site;
use crate::start::{Run, Tier};

/// What a tier does about a technique, as the attacks page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The canary stays in, and the command is told this.
    Held(&'static str),
    /// The canary comes out, and why that is so.
    NotHeld(&'static str),
    /// The question does not arise.
    NotApplicable(&'static str),
}

/// The canary stays in, and this stands in what the command printed.
#[must_use]
pub fn held(says: &'static str) -> Cell {
    Cell::Held(says)
}

/// The canary comes out, for this reason.
#[must_use]
pub fn not_held(reason: &'static str) -> Cell {
    Cell::NotHeld(reason)
}

/// The technique has no meaning in that tier.
#[must_use]
pub fn not_applicable(reason: &'static str) -> Cell {
    Cell::NotApplicable(reason)
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held("") => write!(f, "held"),
            Self::Held(says) => write!(f, "held: {says}"),
            Self::NotHeld(reason) => write!(f, "not held: {reason}"),
            Self::NotApplicable(reason) => write!(f, "n.a.: {reason}"),
        }
    }
}

/// How one sees that the technique worked.
enum Proof {
    /// A piece of a canary is in the output.
    Canary,
    /// What the bare run printed is in the output: for values that come out in another form.
    SameOutput,
    /// This text is in the output.
    Says(&'static str),
    /// This is so afterwards.
    After(Look),
}

/// The run that tries a technique, and what lives on the host as long as it does.
pub struct Attempt {
    run: Run,
    alive: Box<dyn Any>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("run", &self.run).finish_non_exhaustive()
    }
}

impl From<Run> for Attempt {
    fn from(run: Run) -> Self {
        Self { run, alive: Box::new(()) }
    }
}

impl Run {
    /// Keeps a process or a listener of the host until the attempt is over.
    #[must_use]
    pub fn beside(self, alive: impl Any) -> Attempt {
        Attempt { run: self, alive: Box::new(alive) }
    }
}

/// Whether Landlock can keep a domain from signalling others and from their abstract sockets (landlock(7), ABI 6).
fn has_scopes() -> bool {
    const VERSION: i64 = 1;
    const SCOPES_SINCE: i64 = 6;
    let asked = call(libc::SYS_landlock_create_ruleset, [Arg::Int(0), Arg::Int(0), Arg::Int(VERSION)]);
    asked.is_ok_and(|version| version >= SCOPES_SINCE)
}

type Look = Box<dyn Fn(&Site, &Outcome) -> bool>;
type Try = Box<dyn Fn(&mut Site, Tier) -> Attempt>;

/// One technique and what each tier does about it.
pub struct Attack {
    /// What is tried, in the words of the attacks page.
    pub title: &'static str,
    attempt: Try,
    proof: Proof,
    needs: Vec<Feature>,
    cells: [Cell; 4],
    /// The tiers that hold it by a Landlock scope.
    scoped: &'static [Tier],
    event: Option<(&'static str, &'static [Tier])>,
}

impl std::fmt::Debug for Attack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attack")
            .field("title", &self.title)
            .field("cells", &self.cells)
            .finish_non_exhaustive()
    }
}

impl Attack {
    /// A technique. `attempt` plants what it needs and makes the run for a tier; it is called once per site.
    pub fn new<A: Into<Attempt>>(
        title: &'static str,
        attempt: impl Fn(&mut Site, Tier) -> A + 'static,
    ) -> Self {
        Self {
            title,
            attempt: Box::new(move |site, tier| attempt(site, tier).into()),
            proof: Proof::Canary,
            needs: Vec::new(),
            cells: [held(""); 4],
            scoped: &[],
            event: None,
        }
    }

    /// Accesses of `try-access`.
    pub fn access<W: AsRef<str>>(
        title: &'static str,
        accesses: impl Fn(&mut Site) -> Vec<W> + 'static,
    ) -> Self {
        Self::new(title, move |site, tier| {
            let words: Vec<String> = accesses(site).iter().map(|access| access.as_ref().to_owned()).collect();
            let program = site.try_access().into_os_string();
            Run::new(tier, std::iter::once(program).chain(words.into_iter().map(Into::into)))
        })
    }

    /// It worked if the output says this, rather than a canary.
    #[must_use]
    pub fn proven_by(mut self, text: &'static str) -> Self {
        self.proof = Proof::Says(text);
        self
    }

    /// It worked if the output is that of the bare run: the canary comes out in another form.
    #[must_use]
    pub fn proven_by_same_output(mut self) -> Self {
        self.proof = Proof::SameOutput;
        self
    }

    /// It worked if this is so afterwards.
    #[must_use]
    pub fn proven_after(mut self, look: impl Fn(&Site, &Outcome) -> bool + 'static) -> Self {
        self.proof = Proof::After(Box::new(look));
        self
    }

    /// It is skipped where the machine lacks this.
    #[must_use]
    pub fn needs(mut self, feature: Feature) -> Self {
        self.needs.push(feature);
        self
    }

    /// What the tiers `mount`, `user` and `in-place` do about it. Without this, each holds silently. The tier `kernel` does
    /// what `user` does, if [`Attack::kernel`] does not say otherwise.
    #[must_use]
    pub fn cells(mut self, mount: Cell, user: Cell, in_place: Cell) -> Self {
        self.cells = [user, mount, user, in_place];
        self
    }

    /// What the tier `kernel` does about it. After [`Attack::cells`].
    #[must_use]
    pub fn kernel(mut self, cell: Cell) -> Self {
        self.cells[0] = cell;
        self
    }

    /// These tiers hold it by a scope of Landlock's, which the kernel has since Linux 6.12: before, it is not held.
    #[must_use]
    pub fn scoped(mut self, tiers: &'static [Tier]) -> Self {
        self.scoped = tiers;
        self
    }

    /// An event of this kind tells of it, in these tiers.
    #[must_use]
    pub fn recorded(mut self, kind: &'static str, tiers: &'static [Tier]) -> Self {
        self.event = Some((kind, tiers));
        self
    }

    /// What `tier` does about it on this kernel.
    #[must_use]
    pub fn cell(&self, tier: Tier) -> Cell {
        if self.scoped.contains(&tier) && !has_scopes() {
            return not_held("Landlock on this kernel has no scopes");
        }
        self.cells[tier.column()]
    }

    /// What `tier` does about it, as the attacks page shows it: the same on whichever kernel the page is written.
    #[must_use]
    pub fn text(&self, tier: Tier) -> String {
        let since = if self.scoped.contains(&tier) { "; before Linux 6.12 not held" } else { "" };
        format!("{}{since}", self.cells[tier.column()])
    }

    /// Shows that the technique works bare, then that `tier` does about it what its cell says.
    ///
    /// # Panics
    /// If either is not so. A technique that `not held` says, and that is held after all, is a failure as well: the page
    /// would be wrong.
    pub fn check(&self, tier: Tier) {
        let applies = tier == Tier::Bare || !matches!(self.cell(tier), Cell::NotApplicable(_));
        if !can_run(&self.needs, tier) || !applies {
            return;
        }
        let mut site = Site::new();
        let mut twin = site.twin();
        let (bare, worked) = self.try_it(&mut site, Tier::Bare, None);
        assert!(worked, "{}: does not work bare\n{bare}", self.title);
        if tier == Tier::Bare {
            return;
        }
        let (outcome, worked) = self.try_it(&mut twin, tier, Some(&bare));
        outcome.assert_supervised();
        match self.cell(tier) {
            Cell::Held(says) => {
                assert!(!worked, "{}: not held\n{outcome}", self.title);
                assert!(outcome.text().contains(says), "{}: does not say {says:?}\n{outcome}", self.title);
                outcome.assert_clean(&twin);
            }
            Cell::NotHeld(_) => assert!(worked, "{}: is held; say so on the page\n{outcome}", self.title),
            Cell::NotApplicable(_) => {}
        }
        if let Some((kind, tiers)) = self.event
            && tiers.contains(&tier)
        {
            assert!(
                !outcome.events_of(kind).is_empty(),
                "{}: no event {kind}\n{:#?}",
                self.title,
                outcome.events()
            );
        }
    }

    /// Makes the attempt and says whether it worked, compared with the bare run's output where there is one.
    fn try_it(&self, site: &mut Site, tier: Tier, bare: Option<&Outcome>) -> (Outcome, bool) {
        let attempt = (self.attempt)(site, tier);
        let outcome = site.run(attempt.run);
        let worked = match &self.proof {
            Proof::Canary => {
                let finder = site.finder();
                finder.is_in(&outcome.stdout) || finder.is_in(&outcome.stderr)
            }
            Proof::SameOutput => {
                let expected = bare.map_or(&outcome.stdout, |bare| &bare.stdout);
                !expected.is_empty() && shares_window(expected, &outcome.stdout)
            }
            Proof::Says(text) => outcome.text().contains(text),
            Proof::After(look) => look(site, &outcome),
        };
        drop(attempt.alive);
        (outcome, worked)
    }
}
