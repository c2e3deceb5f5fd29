//! Guards of the host's policy for one user's run: which objects of the host they are.
//!
//! Looked up as that user, so that a link which the user has planted leads root nowhere, and in a thread of its own: a
//! file system that the user serves may make it wait for ever, which then costs that user's run alone.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::unistd::{Gid, Uid, User, setfsgid, setfsuid};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::enforce::Protected;
use super::protocol::{Access, Action};
use crate::host::survey;
use crate::policy::{self, Guard, Loaded, Policy, Roots};

/// How long the look-up may take.
const LONGEST: Duration = Duration::from_secs(3);
/// Numbers of the host's own guards begin here; a client's are below.
pub(super) const FIRST: u32 = 1 << 24;

/// One object or name of a guard.
#[derive(Debug)]
pub(super) struct Target {
    /// The guard's number: [`FIRST`] and its place in the policy.
    pub(super) number: u32,
    access: Access,
    action: Action,
    /// The object itself, or the directory of the name.
    object: Arc<OwnedFd>,
    name: Option<(Reach, Vec<u8>)>,
}

/// Where a name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// In the directory itself.
    Here,
    /// Anywhere below it.
    Below,
}

impl Target {
    /// As the kernel takes it.
    pub(super) fn protected(&self) -> Protected<'_> {
        let name = self.name.as_ref().map(|(_, name)| name.as_slice());
        Protected {
            number: self.number,
            access: self.access,
            action: self.action,
            object: self.object.as_fd(),
            name,
            holds: false,
        }
    }

    /// The descriptor that must stay open while the guard counts.
    pub(super) fn into_object(self) -> Arc<OwnedFd> {
        self.object
    }
}

/// The guard of a number, its id and its reason.
pub(super) fn named(policy: &Loaded, number: u32) -> Option<(&str, &str)> {
    let place = usize::try_from(number.checked_sub(FIRST)?).ok()?;
    policy.policy.guards.get(place).map(|guard| (guard.id.value.as_str(), guard.reason.as_str()))
}

/// For whom guards are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct For {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// A run, whose home is its own: names that come into the user's home later do not come into the run.
    pub(super) run: bool,
}

/// Looks the guards up, with `project` as the working directory. Errors are clauses for people.
pub(super) async fn resolve(
    policy: Arc<Loaded>,
    whom: For,
    project: Option<OwnedFd>,
) -> Result<Vec<Target>, String> {
    let For { uid, gid, run } = whom;
    let (found, answer) = oneshot::channel();
    let worker = move || {
        let home = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.dir);
        // Of this thread alone, which ends with the look-up.
        setfsgid(Gid::from_raw(gid));
        setfsuid(Uid::from_raw(uid));
        let _nobody_waits = found.send(look_up(&policy, home.as_deref(), project.as_ref(), run));
    };
    thread::Builder::new().spawn(worker).map_err(|error| crate::spawn::words(&error))?;
    match timeout(LONGEST, answer).await {
        Ok(Ok(targets)) => Ok(targets),
        Ok(Err(_)) | Err(_) => Err("the host's guards cannot be looked up for this user".to_owned()),
    }
}

fn look_up(policy: &Loaded, home: Option<&Path>, project: Option<&OwnedFd>, run: bool) -> Vec<Target> {
    let project = project.and_then(|directory| {
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(directory));
        std::fs::read_link(path).ok()
    });
    // Where there is none, what it is part of names nothing.
    let nowhere = Path::new("/proc/self/fd/-1");
    let roots = Roots { project: project.as_deref().unwrap_or(nowhere), home };
    let guards = policy.policy.guards.iter().zip(FIRST..);
    guards.flat_map(|(guard, number)| of_guard(&policy.policy, guard, number, &roots, run)).collect()
}

fn of_guard(policy: &Policy, guard: &Guard, number: u32, roots: &Roots<'_>, run: bool) -> Vec<Target> {
    let access = match guard.access {
        policy::Access::Read => Access::Read,
        policy::Access::Write => Access::Write,
    };
    let action = match guard.action.value {
        // A copy with marks is the opener's; the object itself is refused.
        policy::Action::Deny | policy::Action::Mask => Action::Deny,
        policy::Action::Hide => Action::Hide,
        policy::Action::Flag => Action::Flag,
        policy::Action::Allow => Action::Allow,
    };
    let target =
        |object: &Arc<OwnedFd>, name| Target { number, access, action, object: Arc::clone(object), name };
    let mut targets = Vec::new();
    for path in guard.path.iter().filter_map(|pattern| pattern.value.resolve(roots)) {
        let at_home = roots.home.is_some_and(|home| path.starts_with(home));
        // What a run sees of a home is granted by name, and may lie in a guarded directory with exceptions.
        let skipped = run && at_home && !guard.except.is_empty();
        for found in there(&path).into_iter().filter(|_| !skipped) {
            if action == Action::Allow && !is_exempt(policy, guard, &found, roots) {
                continue;
            }
            targets.extend(opened(&found).map(|object| target(&object, None)));
            targets.extend(exceptions(policy, guard, &found, roots).into_iter().map(|object| Target {
                number,
                access,
                action: Action::Allow,
                object,
                name: None,
            }));
        }
        // The name too: a file that is saved anew is another object, and one that comes later is none yet.
        let comes_in = (!run || !at_home) && action != Action::Allow;
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && comes_in
            && !path.as_os_str().as_bytes().contains(&b'*')
            && let Some(directory) = opened(parent)
        {
            targets.push(target(&directory, Some((Reach::Here, name.as_bytes().to_vec()))));
        }
    }
    for tree in guard.under.iter().filter_map(|pattern| pattern.value.resolve(roots)) {
        for directory in there(&tree).iter().filter_map(|tree| opened(tree)) {
            let globs = guard.name.iter().flat_map(|name| name.value.alternatives());
            let name = |glob: &policy::Glob| Some((Reach::Below, glob.as_str().as_bytes().to_vec()));
            targets.extend(globs.map(|glob| target(&directory, name(glob))));
        }
    }
    targets
}

/// What lies in a guarded directory and is left alone by its name. One that is saved anew is guarded again, as everything
/// that the guard does not know.
fn exceptions(policy: &Policy, guard: &Guard, directory: &Path, roots: &Roots<'_>) -> Vec<Arc<OwnedFd>> {
    if guard.except.is_empty() || !directory.is_dir() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let left = entries.filter(|entry| {
        let name = entry.file_name();
        guard.except.iter().any(|except| except.value.matches(name.as_bytes()))
            && is_exempt(policy, guard, &entry.path(), roots)
    });
    left.filter_map(|entry| opened(&entry.path())).collect()
}

/// Whether an exception from `guard` takes nothing from others: the kernel's exceptions are from reading and changing alike.
fn is_exempt(policy: &Policy, guard: &Guard, path: &Path, roots: &Roots<'_>) -> bool {
    let other = match guard.access {
        policy::Access::Read => policy::Access::Write,
        policy::Access::Write => policy::Access::Read,
    };
    policy.judge(other, path, roots).is_none_or(|judged| judged.action.value == policy::Action::Allow)
}

/// The objects that a path with `*` in it stands for, by their paths without links.
fn there(path: &Path) -> Vec<PathBuf> {
    survey([path.to_owned()]).get(path).iter().map(|found| found.real.clone()).collect()
}

fn opened(path: &Path) -> Option<Arc<OwnedFd>> {
    let file = File::options().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path).ok()?;
    let kind = file.metadata().ok()?.file_type();
    (kind.is_file() || kind.is_dir()).then(|| Arc::new(file.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::load_file;

    fn loaded(place: &Path, text: &str) -> Loaded {
        let file = place.join("policy.toml");
        fs::write(&file, format!("version = 1\n{text}")).unwrap();
        load_file(&file, false).unwrap()
    }

    /// Id, and what of it is guarded, in words.
    fn shown(policy: &Loaded, targets: &[Target], id: &str) -> Vec<String> {
        let own =
            targets.iter().filter(|target| named(policy, target.number).is_some_and(|named| named.0 == id));
        own.map(|target| {
            let at = std::os::fd::AsRawFd::as_raw_fd(&*target.object);
            let path = fs::read_link(format!("/proc/self/fd/{at}")).unwrap();
            let last = path.file_name().unwrap().to_string_lossy().into_owned();
            match &target.name {
                None => last,
                Some((reach, name)) => format!("{reach:?} {last} {}", String::from_utf8_lossy(name)),
            }
        })
        .collect()
    }

    #[test]
    fn objects_names_and_names_below() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("home");
        let project = place.path().join("project");
        fs::create_dir_all(home.join(".tool/keys")).unwrap();
        fs::create_dir(&project).unwrap();
        fs::write(home.join(".tool/token"), "x").unwrap();
        let policy = loaded(
            place.path(),
            "[[guard]]\nid = \"a\"\npath = [\"~/.tool/token\", \"~/.tool/later\", \"~/.none/x\", \"~/.tool/k*\"]\n\
             reason = \"r\"\n\
             [[guard]]\nid = \"b\"\nname = [\".x{,.local}\", \"*.y\"]\nunder = [\"${project}\"]\nreason = \"r\"\n",
        );
        let directory: OwnedFd = File::open(&project).unwrap().into();
        let targets = look_up(&policy, Some(&home), Some(&directory), false);
        assert_eq!(shown(&policy, &targets, "a"), ["token", "Here .tool token", "Here .tool later", "keys"]);
        // A run's home is its own: what is there is guarded, and nothing comes into it later.
        let of_run = look_up(&policy, Some(&home), Some(&directory), true);
        assert_eq!(shown(&policy, &of_run, "a"), ["token", "keys"]);
        assert_eq!(
            shown(&policy, &targets, "b"),
            ["Below project .x", "Below project .x.local", "Below project *.y"]
        );
        let without = look_up(&policy, Some(&home), None, false);
        assert!(shown(&policy, &without, "b").is_empty());
    }

    #[test]
    fn what_is_left_alone_in_a_guarded_directory_is_an_exception() {
        let place = tempfile::tempdir().unwrap();
        for name in ["known", "one.pub", "two.pub", "key"] {
            fs::create_dir_all(place.path().join(".keys")).unwrap();
            fs::write(place.path().join(".keys").join(name), "x").unwrap();
        }
        let text = "[[guard]]\nid = \"a\"\npath = [\"~/.keys\"]\nexcept = [\"known\", \"*.pub\"]\nreason = \"r\"\n\
             [[guard]]\nid = \"w\"\npath = [\"~/.keys/two.pub\"]\naccess = \"write\"\nreason = \"r\"\n";
        let policy = loaded(place.path(), text);
        // A run sees of a home what its plan grants, which may be just what is left alone.
        let of_run = look_up(&policy, Some(place.path()), None, true);
        assert!(shown(&policy, &of_run, "a").is_empty());
        let targets = look_up(&policy, Some(place.path()), None, false);
        let targets: Vec<_> = targets.into_iter().filter(|target| target.name.is_none()).collect();
        let (allowed, guarded): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| target.action == Action::Allow);
        assert_eq!(shown(&policy, &guarded, "a"), [".keys"]);
        let mut allowed = shown(&policy, &allowed, "a");
        allowed.sort();
        assert_eq!(allowed, ["known", "one.pub"]);
    }

    #[test]
    fn a_link_stands_for_what_it_leads_to() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
        let policy = loaded(place.path(), "[[guard]]\nid = \"a\"\npath = [\"~/link\"]\nreason = \"r\"\n");
        let targets = look_up(&policy, Some(place.path()), None, false);
        let place_name = place.path().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(shown(&policy, &targets, "a"), ["real".to_owned(), format!("Here {place_name} link")]);
    }
}
