//! A run's scope at the host service: what is guarded in it is told here, and what the kernel saw is heard here.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keyblind_events::Event;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::RunError;
use super::materials::{Materials, as_person};
use crate::host::Person;
use crate::plan::{Coverage, NotEnforced, Object, Plan, Tripwire, Watched};
use crate::policy::{Access, Action, Mode};
use crate::registrar::client::{ClientError, Offer, Report, Scope};
use crate::registrar::protocol::{self, MOST_DENIED, Registration, Target};
use crate::spawn::prepared::Identity;
use crate::spawn::words;

/// The scope, and what its guards are called.
#[derive(Debug)]
pub(crate) struct RunScope {
    scope: Scope,
    named: Vec<Named>,
    /// Reports of which only the number is known, as far as was heard.
    lost: u64,
    /// Guards that are not in force, as the run's first event has them.
    pub(super) gaps: Vec<NotEnforced>,
}

/// What a number in a report stands for.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) guard: String,
    pub(super) reason: String,
    /// Where the run sees it, if it is one object.
    pub(super) path: Option<PathBuf>,
}

/// Something that the kernel saw.
#[derive(Debug)]
pub(super) enum Seen {
    /// As the service has it, and the run's own guard if it was one of those.
    Event(Box<Event>, Option<Named>),
    /// So many that are known by their number only.
    Lost(u64),
}

impl RunScope {
    /// Registers the run and opens its scope, with everything guarded that is there before the run's own tree.
    pub(super) fn begin(offer: Offer, materials: &Materials) -> Result<Self, RunError> {
        let plan = &materials.plan;
        let mut directory = File::options();
        directory.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY);
        let project = as_person(&materials.person, || directory.open(&plan.project));
        let project = project.map_err(RunError::system("open the working directory"))?;
        let command = materials.request.command.first().map(|name| name.to_string_lossy().into_owned());
        // Root puts programs of its own at the scope, beside other things that take as long.
        let ours = matches!(plan.identity, Identity::Switch { .. });
        let denied = plan.denied.iter().filter(|_| !ours).map(|denied| denied.value).collect::<Vec<_>>();
        if denied.len() > MOST_DENIED {
            return Err(RunError::TooManyDenied(denied.len()));
        }
        let registration = Registration {
            run: materials.run.clone(),
            session: materials.session.clone(),
            // A path can be long; its end says more.
            command: tail(&command.unwrap_or_default()).to_owned(),
            uid: materials.person.uid.as_raw(),
            enforce: plan.mode == Mode::Enforce,
            denied,
        };
        let mut named = Vec::with_capacity(plan.watched.len() + plan.tripwires.len());
        let mut batch = Batch::default();
        let mounts = mount_points();
        for watched in &plan.watched {
            let Some(guard) = materials.policy.policy.guards.get(watched.guard) else { continue };
            let path = match &watched.object {
                Object::There(path) | Object::Holds(path) => Some(path.clone()),
                Object::Named { .. } => None,
            };
            named.push(Named { guard: guard.id.value.clone(), reason: guard.reason.clone(), path });
            batch.add(number(named.len()), watched, &materials.person)?;
            // What is mounted below is another tree, with a root of its own.
            for below in within(&mounts, &watched.object) {
                let watched = Watched { object: below, ..watched.clone() };
                batch.add(number(named.len()), &watched, &materials.person)?;
            }
        }
        let objects: Vec<BorrowedFd<'_>> = batch.objects.iter().map(|(_, fd)| fd.as_fd()).collect();
        let scope = offer.begin(registration, Some(project.as_fd()), &batch.guards, &objects)?;
        let mut gaps: Vec<NotEnforced> = scope
            .host_not_enrolled()
            .map(|why| NotEnforced {
                what: "a guard of the host's own policy".to_owned(),
                why: why.to_owned(),
            })
            .collect();
        for (number, why) in scope.not_enrolled() {
            let watched = usize::try_from(*number).ok().and_then(|number| plan.watched.get(number - 1));
            let guard = watched.and_then(|watched| materials.policy.policy.guards.get(watched.guard));
            let Some(guard) = guard else { continue };
            if !guard.origin().is_built_in() {
                let (guard, origin) = (guard.id.value.clone(), guard.origin().to_string());
                return Err(RunError::NotGuarded { guard, origin, why: why.clone() });
            }
            gaps.push(NotEnforced { what: guard.id.value.clone(), why: why.clone() });
        }
        gaps.dedup();
        Ok(Self { scope, named, lost: 0, gaps })
    }

    /// The cgroup's directory, for root to clone into.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.scope.directory()
    }

    /// Moves the run's first process into the scope; for who cannot clone into it.
    pub(super) fn enter(&mut self, pidfd: BorrowedFd<'_>) -> Result<(), RunError> {
        Ok(self.scope.enter(pidfd)?)
    }

    /// Guards the tripwires of the run's tree. They are empty, so that nothing is lost where one cannot be guarded; but
    /// they could be opened, and nobody would know: such a run does not start.
    pub(super) fn guard_tripwires(&mut self, root: BorrowedFd<'_>, plan: &Plan) -> Result<(), RunError> {
        let mut guards = Vec::with_capacity(plan.tripwires.len());
        let mut objects = Vec::with_capacity(plan.tripwires.len());
        for tripwire in &plan.tripwires {
            let object = inside(root, &tripwire.path).map_err(|why| not_guarded(tripwire, why))?;
            let Tripwire { guard, reason, path, .. } = tripwire;
            let path = Some(path.clone());
            self.named.push(Named { guard: guard.clone(), reason: reason.clone(), path });
            let descriptor = u8::try_from(objects.len()).unwrap_or(u8::MAX);
            guards.push(protocol::Guard {
                number: number(self.named.len()),
                access: protocol::Access::Read,
                action: protocol::Action::Deny,
                target: Target::Object { descriptor },
            });
            objects.push(object);
            // The places of objects are counted in a byte.
            if objects.len() == BATCH {
                self.send(&guards, &objects)?;
                guards.clear();
                objects.clear();
            }
        }
        self.send(&guards, &objects)
    }

    fn send(&mut self, guards: &[protocol::Guard], objects: &[OwnedFd]) -> Result<(), RunError> {
        let objects: Vec<BorrowedFd<'_>> = objects.iter().map(AsFd::as_fd).collect();
        if guards.is_empty() {
            return Ok(());
        }
        match self.scope.guard(guards, &objects)?.into_iter().next() {
            None => Ok(()),
            Some((number, why)) => {
                let named = usize::try_from(number).ok().and_then(|number| self.named.get(number - 1));
                let guard = named.map(|named| named.guard.clone()).unwrap_or_default();
                Err(RunError::NotGuarded { guard, origin: "tripwire".to_owned(), why })
            }
        }
    }

    /// What there is to hear, without waiting. `None`: nothing at the moment.
    pub(super) fn next(&mut self) -> Result<Option<Seen>, ClientError> {
        let seen = self.scope.report()?.map(|report| seen(&self.named, report));
        if let Some(Seen::Lost(count)) = &seen {
            self.lost = self.lost.saturating_add(*count);
        }
        Ok(seen)
    }

    /// Ends the scope, in which nobody is left. What was not heard yet.
    pub(super) fn end(self) -> Result<Vec<Seen>, ClientError> {
        let Self { scope, named, lost, .. } = self;
        let (totals, rest) = scope.end()?;
        // The service counts in all what it could not tell.
        let told = rest.into_iter().map(|report| seen(&named, report));
        let mut rest: Vec<Seen> = told.filter(|seen| !matches!(seen, Seen::Lost(_))).collect();
        rest.push(Seen::Lost(totals.lost.saturating_sub(lost)));
        Ok(rest)
    }
}

impl AsRawFd for RunScope {
    /// Readable when there is something to hear.
    fn as_raw_fd(&self) -> RawFd {
        self.scope.as_raw_fd()
    }
}

/// Where file systems are mounted, by the paths of this process.
fn mount_points() -> Vec<PathBuf> {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let points = text.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(|point| PathBuf::from(OsString::from_vec(unescaped(point)))).collect()
}

/// proc_pid_mountinfo(5): space, tab, newline and backslash are three octal digits behind a backslash.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let digits = (*byte == b'\\').then(|| after.get(..3)).flatten();
        let value = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(value.unwrap_or(*byte));
        rest = if value.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain
}

/// The same on each mount below a watched directory.
fn within(mounts: &[PathBuf], object: &Object) -> Vec<Object> {
    let (Object::There(above) | Object::Named { below: above, .. }) = object else { return Vec::new() };
    let inside = mounts.iter().filter(|mount| *mount != above && mount.starts_with(above));
    inside
        .map(|mount| match object {
            Object::Named { name, .. } => Object::Named { below: mount.clone(), name: name.clone() },
            Object::There(_) | Object::Holds(_) => Object::There(mount.clone()),
        })
        .collect()
}

/// Objects in one message to the service.
const BATCH: usize = 64;
/// Bytes of a command's name in the service's list.
const LONGEST_COMMAND: usize = 256;

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(LONGEST_COMMAND);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(from..).unwrap_or_default()
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn seen(named: &[Named], report: Report) -> Seen {
    match report {
        Report::Lost(count) => Seen::Lost(count),
        Report::Event { guard, event } => {
            let place = usize::try_from(guard).ok().and_then(|number| number.checked_sub(1));
            Seen::Event(event, place.and_then(|place| named.get(place)).cloned())
        }
    }
}

fn not_guarded(tripwire: &Tripwire, why: Errno) -> RunError {
    let covered = if tripwire.coverage == Coverage::Covered { "what covers" } else { "what stands for" };
    RunError::NotGuarded {
        guard: tripwire.guard.clone(),
        origin: "tripwire".to_owned(),
        why: format!("{covered} {}: {}", tripwire.path.display(), words(&why.into())),
    }
}

/// An object of the run's tree, by its path there.
fn inside(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

/// Guards and the objects that they mean.
#[derive(Debug, Default)]
struct Batch {
    guards: Vec<protocol::Guard>,
    objects: Vec<(PathBuf, OwnedFd)>,
}

impl Batch {
    fn add(&mut self, number: u32, watched: &Watched, person: &Person) -> Result<(), RunError> {
        let access = match watched.access {
            Access::Read => protocol::Access::Read,
            Access::Write => protocol::Access::Write,
        };
        let action = match watched.action {
            Action::Deny | Action::Mask => protocol::Action::Deny,
            Action::Hide => protocol::Action::Hide,
            Action::Flag => protocol::Action::Flag,
            Action::Allow => protocol::Action::Allow,
        };
        let path = match &watched.object {
            Object::There(path) | Object::Holds(path) | Object::Named { below: path, .. } => path,
        };
        let Some(descriptor) = self.object(path, person)? else { return Ok(()) };
        let target = match &watched.object {
            Object::There(_) => Target::Object { descriptor },
            Object::Holds(_) => Target::Holds { descriptor },
            Object::Named { name, .. } => {
                Target::Below { directory: descriptor, name: name.as_encoded_bytes().to_vec() }
            }
        };
        self.guards.push(protocol::Guard { number, access, action, target });
        Ok(())
    }

    /// The place of an object that the run's user can open; what it cannot, the run cannot either.
    fn object(&mut self, path: &Path, person: &Person) -> Result<Option<u8>, RunError> {
        if let Some(place) = self.objects.iter().position(|(have, _)| have == path) {
            return Ok(Some(u8::try_from(place).unwrap_or(u8::MAX)));
        }
        let mut readable = File::options();
        readable.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
        let opened = as_person(person, || readable.open(path)).ok();
        let opened = opened.filter(|file| file.metadata().is_ok_and(|file| file.is_file() || file.is_dir()));
        let Some(opened) = opened else { return Ok(None) };
        let place = u8::try_from(self.objects.len()).map_err(|_too_many| RunError::TooManyGuarded)?;
        self.objects.push((path.to_owned(), opened.into()));
        Ok(Some(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_goes_on_below_every_mount_in_its_tree() {
        let mounts = ["/", "/p", "/p/a b", "/p/a b/c", "/pq", "/q"].map(PathBuf::from);
        let named = Object::Named { below: "/p".into(), name: ".env".into() };
        let below = |path: &str| Object::Named { below: path.into(), name: ".env".into() };
        assert_eq!(within(&mounts, &named), [below("/p/a b"), below("/p/a b/c")]);
        assert_eq!(within(&mounts, &Object::There("/q".into())), []);
        assert_eq!(within(&mounts, &Object::Holds("/".into())), []);
        assert_eq!(unescaped(b"/p/a\\040b\\134\\9"), b"/p/a b\\\\9");
    }

    #[test]
    fn a_long_command_is_known_by_its_end() {
        assert_eq!(tail("/bin/sh"), "/bin/sh");
        let long = format!("/{}/sh", "\u{e9}".repeat(200));
        let short = tail(&long);
        assert!(short.len() <= LONGEST_COMMAND && short.ends_with("/sh"), "{short}");
    }
}
