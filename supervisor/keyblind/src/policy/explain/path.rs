//! Paths: guards first, then what `files` grants, then absence.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::super::{Access, Action, CacheMode, Device, Guard, Located, PathPattern, Policy, Roots};
use super::{Asked, Explanation, Verdict, under};

/// Device nodes of every run.
const DEVICES: &str = "null zero full random urandom tty fd stdin stdout stderr ptmx pts shm mqueue";

pub(super) fn read(policy: &Policy, path: &Path, roots: &Roots<'_>) -> Explanation {
    let path = absolute(path, roots);
    let asked = Asked(format!("read {}", path.display()));
    if let Some(explanation) = special(policy, &path, &asked) {
        return explanation;
    }
    let files = &policy.files;
    let lists = [("read", &files.read), ("write", &files.write), ("caches", &files.caches)];
    let granted = lists.into_iter().find_map(|(name, list)| Some((name, find(list, &path, roots)?)));
    if let Some(guard) = policy.judge(Access::Read, &path, roots)
        && guard.action.value > Action::Allow
        && (guard.action.value > Action::Flag || granted.is_some())
    {
        return guarded(policy, guard, &path, granted.is_some(), &asked);
    }
    match granted {
        Some((list, tree)) => {
            let reason = if is_private(tree) { "the run's own, empty at its start" } else { "granted" };
            let change = format!("files.{list} = [\"!{}\"] takes that out", tree.value);
            asked.answer(Verdict::Allow, rule(list, tree), Some(&tree.origin), reason, change)
        }
        None if roots.home.is_some_and(|home| path == home) => {
            let reason = "HOME is the run's own and holds the entries that `files` lists";
            asked.answer(Verdict::Allow, "files", None, reason, "")
        }
        None => absent(&path, roots, "read", &asked),
    }
}

pub(super) fn write(policy: &Policy, path: &Path, roots: &Roots<'_>) -> Explanation {
    let path = absolute(path, roots);
    let asked = Asked(format!("write {}", path.display()));
    if let Some(explanation) = special(policy, &path, &asked) {
        return explanation;
    }
    let files = &policy.files;
    let (tree, cache) = (find(&files.write, &path, roots), find(&files.caches, &path, roots));
    let inside = tree.is_some() || cache.is_some();
    if let Some(guard) = policy.judge(Access::Write, &path, roots)
        && guard.action.value > Action::Allow
    {
        return guarded(policy, guard, &path, inside, &asked);
    }
    if let Some(guard) = policy.judge(Access::Read, &path, roots)
        && guard.action.value == Action::Mask
        && inside
    {
        let mut explanation = guarded(policy, guard, &path, inside, &asked);
        explanation.verdict = under(&policy.mode, Verdict::Deny, String::new()).0;
        explanation.reason.push_str("; a masked file is not written, so that marks never replace values");
        return explanation;
    }
    if let Some(tree) = tree {
        let reason = match keys_refused(policy, &path, roots) {
            Some(keys) => keys,
            None if is_private(tree) => "the run's own; gone when the run ends".to_owned(),
            None => "granted".to_owned(),
        };
        let change = format!("files.write = [\"!{}\"] takes that out", tree.value);
        return asked.answer(Verdict::Allow, rule("write", tree), Some(&tree.origin), reason, change);
    }
    if let Some(cache) = cache {
        let mode = &files.cache_mode;
        let (verdict, reason, other) = match mode.value {
            CacheMode::Session => {
                (Verdict::Allow, "a cache: writes live as long as the session", CacheMode::ReadOnly)
            }
            CacheMode::Share => (Verdict::Allow, "a cache: writes reach the host", CacheMode::Session),
            CacheMode::ReadOnly => (Verdict::Deny, "a cache, and caches are read only", CacheMode::Session),
        };
        let change = format!("files.cache_mode = \"{}\"", other.name());
        return asked.answer(verdict, rule("caches", cache), Some(&mode.origin), reason, change);
    }
    if let Some(tree) = find(&files.read, &path, roots) {
        let change = format!("files.write = [\"{}\"], or `--write` for one run", symbolic(&path, roots));
        let reason = "granted for reading only";
        return asked.answer(Verdict::Deny, rule("read", tree), Some(&tree.origin), reason, change);
    }
    if roots.home.is_some_and(|home| path.starts_with(home)) {
        let reason = "HOME is the run's own: what is written there ends with it, and the host's is unchanged";
        let change = format!("files.write = [\"{}\"] lets it reach the host", symbolic(&path, roots));
        return asked.answer(Verdict::Allow, "files", None, reason, change);
    }
    absent(&path, roots, "write", &asked)
}

fn find<'l>(
    list: &'l [Located<PathPattern>],
    path: &Path,
    roots: &Roots<'_>,
) -> Option<&'l Located<PathPattern>> {
    list.iter().find(|tree| tree.value.contains(path, roots))
}

fn rule(list: &str, tree: &Located<PathPattern>) -> String {
    format!("files.{list} `{}`", tree.value)
}

/// Whether a tree is the run's own whatever the host has there.
fn is_private(tree: &Located<PathPattern>) -> bool {
    matches!(tree.value.to_string().as_str(), "/tmp" | "/dev/shm")
}

fn keys_refused(policy: &Policy, path: &Path, roots: &Roots<'_>) -> Option<String> {
    let (guard, keys) = policy
        .guards
        .iter()
        .filter_map(|guard| Some((guard, guard.keys.as_ref()?)))
        .find(|(_, keys)| keys.file.value.resolve(roots).is_some_and(|file| file == path))?;
    let deny: Vec<&str> = keys.deny.iter().map(|key| key.value.as_str()).collect();
    let (id, origin) = (&guard.id.value, guard.origin());
    Some(format!("granted, except for the keys {}: guard {id} ({origin})", deny.join(", ")))
}

fn guarded(policy: &Policy, guard: &Guard, path: &Path, granted: bool, asked: &Asked) -> Explanation {
    let verdict = match guard.action.value {
        Action::Allow => Verdict::Allow,
        Action::Flag => Verdict::Flag,
        Action::Mask => Verdict::Mask,
        Action::Hide => Verdict::Hide,
        Action::Deny => Verdict::Deny,
    };
    let id = &guard.id.value;
    let mut reason = guard.reason.clone();
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    if let Some(pattern) = guard.name_of(name).filter(|pattern| !pattern.value.is_exact()) {
        reason.push_str(&format!(" (by the pattern `{}`: only if the content is secret)", pattern.value));
    }
    let taking_out = match guard.origin().is_built_in() {
        true => format!("[[guard]] id = \"!{id}\" with a reason takes the guard out"),
        false => format!("{} is where the guard can be taken out", guard.origin()),
    };
    // Audit mode lets a guard's object pass; what is not granted is not there in any mode.
    let (verdict, reason, change) = if granted {
        let (verdict, reason) = under(&policy.mode, verdict, reason);
        (verdict, reason, taking_out)
    } else {
        let key = if guard.access == Access::Read { "read" } else { "write" };
        (verdict, reason, format!("{taking_out}; files.{key} would have to grant it, too"))
    };
    asked.answer(verdict, format!("guard {id}"), Some(guard.origin()), reason, change)
}

fn absent(path: &Path, roots: &Roots<'_>, list: &str, asked: &Asked) -> Explanation {
    let reason = "nothing grants it, so it is not in the run's tree";
    let change = format!("files.{list} = [\"{}\"]", symbolic(path, roots));
    asked.answer(Verdict::Deny, "files", None, reason, change)
}

/// procfs and `/dev`, of which a run has its own.
fn special(policy: &Policy, path: &Path, asked: &Asked) -> Option<Explanation> {
    let mut components = path.components().skip(1).map(|component| component.as_os_str().to_string_lossy());
    match components.next()?.as_ref() {
        "proc" => Some(procfs(policy, components.next().as_deref(), path.file_name(), asked)),
        "dev" => {
            let node = components.next()?;
            if node == "shm" {
                return None;
            }
            if DEVICES.split(' ').any(|known| known == node) {
                return Some(asked.answer(Verdict::Allow, "devices", None, "a run's own /dev has it", ""));
            }
            Some(device(policy, &node, asked))
        }
        _ => None,
    }
}

fn device(policy: &Policy, node: &str, asked: &Asked) -> Explanation {
    let family = match node {
        "dri" => Some(Device::Dri),
        "kvm" => Some(Device::Kvm),
        "fuse" => Some(Device::Fuse),
        node if node.starts_with("nvidia") || node == "kfd" => Some(Device::Gpu),
        _ => None,
    };
    let Some(family) = family else {
        return asked.answer(Verdict::Deny, "devices", None, "not among the devices of a run", "");
    };
    let word = family.name();
    match policy.devices.iter().find(|device| device.value == family) {
        Some(device) => {
            let change = format!("devices.allow = [\"!{word}\"] takes that out");
            let rule = format!("devices.allow `{word}`");
            asked.answer(Verdict::Allow, rule, Some(&device.origin), "granted", change)
        }
        None => {
            let change = format!("devices.allow = [\"{word}\"]");
            asked.answer(Verdict::Deny, "devices.allow", None, "not among the devices of a run", change)
        }
    }
}

/// The table of `/proc`, as far as it does not depend on who asks.
fn procfs(policy: &Policy, process: Option<&str>, entry: Option<&OsStr>, asked: &Asked) -> Explanation {
    let process = process.unwrap_or_default();
    let of_process =
        matches!(process, "self" | "thread-self") || process.bytes().all(|byte| byte.is_ascii_digit());
    let debug = &policy.procfs_debug;
    let own = "/proc shows the run's own processes only";
    if !of_process {
        return asked.answer(Verdict::Allow, "procfs", None, own, "");
    }
    match entry.map(OsStr::as_bytes).unwrap_or_default() {
        b"environ" => {
            let reason =
                "variables at the start of a process, its own included, may hold what it has wiped since";
            asked.answer(Verdict::Deny, "procfs.environ", None, reason, "")
        }
        b"mem" | b"map_files" | b"stack" | b"syscall" if process != "self" && !debug.value => {
            let reason = "another process's memory";
            let change = "procfs.debug = true, for processes of the same run";
            asked.answer(Verdict::Deny, "procfs.debug", Some(&debug.origin), reason, change)
        }
        _ => asked.answer(Verdict::Allow, "procfs", None, own, ""),
    }
}

/// `path` as a run would resolve it, had it no links.
fn absolute(path: &Path, roots: &Roots<'_>) -> PathBuf {
    let home = || roots.home.unwrap_or(Path::new("~"));
    let joined = match path.strip_prefix("~") {
        Ok(below) => home().join(below),
        Err(_) => match path.strip_prefix("${project}") {
            Ok(below) => roots.project.join(below),
            Err(_) => roots.project.join(path),
        },
    };
    let mut clean = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// `path` as a policy would write it.
fn symbolic(path: &Path, roots: &Roots<'_>) -> String {
    let below = |base: Option<&Path>, word: &str| {
        let rest = path.strip_prefix(base?).ok()?;
        Some(Path::new(word).join(rest).display().to_string())
    };
    below(Some(roots.project), "${project}")
        .or_else(|| below(roots.home, "~"))
        .unwrap_or_else(|| path.display().to_string())
}
