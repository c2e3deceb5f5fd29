//! Whether one policy is at least as tight as another: the rule for every source beside a locked host policy.
//!
//! Whatever cannot be compared counts as loosening.

use std::collections::BTreeMap;
use std::fmt;

use super::{
    Access, Action, Events, Files, Guard, Limits, Located, NamePattern, Named, Network, Origin, PathPattern,
    Policy, Redact, Run, Slice, Socket, Sockets, TierWish, Variables,
};

/// A key in which a policy is looser than the one that it must not loosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loosening {
    /// The key, as in `network.mode`.
    pub key: String,
    /// What the looser policy does there, as a clause after the key.
    pub what: String,
    /// Where the looser policy says so. `None` for something that it leaves out.
    pub origin: Option<Origin>,
    /// Where the other policy is tighter. `None` for something that it does not have.
    pub base: Option<Origin>,
}

impl fmt::Display for Loosening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "`{}` {}", self.key, self.what)?;
        match &self.base {
            Some(base) => write!(f, " ({base})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Loosening {}

type Check = Result<(), Loosening>;

impl Policy {
    /// Whether this policy lets nothing pass that `base` refuses, and gives nothing that `base` does not give.
    /// Errors: the first key that loosens.
    pub fn tightens(&self, base: &Policy) -> Result<(), Loosening> {
        at_least("mode", &self.mode, &base.mode)?;
        tier(&self.tier, &base.tier)?;
        run(&self.run, &base.run)?;
        variables(&self.variables, &base.variables)?;
        files(&self.files, &base.files)?;
        guards(&self.guards, &base.guards)?;
        if self.procfs_debug.value && !base.procfs_debug.value {
            return loosens("procfs.debug", "turns on what is off", &self.procfs_debug, &base.procfs_debug);
        }
        network(&self.network, &base.network)?;
        sockets(&self.sockets, &base.sockets)?;
        within("devices.allow", &self.devices, &base.devices, PartialEq::eq, |device| {
            device.name().to_owned()
        })?;
        redact(&self.redact, &base.redact)?;
        events(&self.events, &base.events)?;
        let slice = |ours: &Slice, one: &Slice| ours.covers(one);
        includes("host.always", &self.host.always, &base.host.always, slice, ToString::to_string)?;
        includes("host.flag", &self.host.flag, &base.host.flag, slice, ToString::to_string)?;
        if self.host.flags_per_minute.value < base.host.flags_per_minute.value {
            let (ours, base) = (&self.host.flags_per_minute, &base.host.flags_per_minute);
            return loosens("host.flags_per_minute", "records fewer", ours, base);
        }
        same("environment", &self.environments, &base.environments)?;
        same("secret", &self.secrets, &base.secrets)?;
        same("tool", &self.tools, &base.tools)
    }
}

fn loosens<A, B>(key: &str, what: impl Into<String>, ours: &Located<A>, base: &Located<B>) -> Check {
    Err(Loosening {
        key: key.to_owned(),
        what: what.into(),
        origin: Some(ours.origin.clone()),
        base: Some(base.origin.clone()),
    })
}

fn at_least<T: Ord + Named>(key: &str, ours: &Located<T>, base: &Located<T>) -> Check {
    if ours.value >= base.value {
        return Ok(());
    }
    loosens(key, format!("is `{}` and must stay `{}`", ours.value.word(), base.value.word()), ours, base)
}

/// Each of ours must be one of `base`.
fn within<T>(
    key: &str,
    ours: &[Located<T>],
    base: &[Located<T>],
    covers: impl Fn(&T, &T) -> bool,
    show: impl Fn(&T) -> String,
) -> Check {
    match ours.iter().find(|one| !base.iter().any(|base| covers(&base.value, &one.value))) {
        None => Ok(()),
        Some(one) => Err(Loosening {
            key: key.to_owned(),
            what: format!("adds `{}`", show(&one.value)),
            origin: Some(one.origin.clone()),
            base: None,
        }),
    }
}

/// Each of `base` must be one of ours.
fn includes<T>(
    key: &str,
    ours: &[Located<T>],
    base: &[Located<T>],
    covers: impl Fn(&T, &T) -> bool,
    show: impl Fn(&T) -> String,
) -> Check {
    match base.iter().find(|one| !ours.iter().any(|ours| covers(&ours.value, &one.value))) {
        None => Ok(()),
        Some(one) => Err(Loosening {
            key: key.to_owned(),
            what: format!("lacks `{}`", show(&one.value)),
            origin: None,
            base: Some(one.origin.clone()),
        }),
    }
}

fn tier(ours: &TierWish, base: &TierWish) -> Check {
    at_least("tier.minimum", &ours.minimum, &base.minimum)?;
    super::Layer::ALL.into_iter().try_for_each(|layer| {
        let key = format!("tier.layers.{}", layer.name());
        at_least(&key, ours.layers.get(layer), base.layers.get(layer))
    })
}

fn run(ours: &Run, base: &Run) -> Check {
    if let Some(user) = &base.user
        && ours.user.as_ref() != Some(user)
    {
        return Err(Loosening {
            key: "run.user".to_owned(),
            what: format!("must stay `{}`", user.value),
            origin: ours.user.as_ref().map(|user| user.origin.clone()),
            base: Some(user.origin.clone()),
        });
    }
    if ours.environment != base.environment {
        let what = format!("is `{}` and must stay `{}`", ours.environment.value, base.environment.value);
        return loosens("run.environment", what, &ours.environment, &base.environment);
    }
    let Limits { processes, open_files, core, memory, cpu, timeout } = &ours.limits;
    limit("run.limits.processes", processes, &base.limits.processes)?;
    limit("run.limits.open_files", open_files, &base.limits.open_files)?;
    limit("run.limits.memory", memory, &base.limits.memory)?;
    limit("run.limits.cpu", cpu, &base.limits.cpu)?;
    limit("run.limits.timeout", timeout, &base.limits.timeout)?;
    // 1 is tighter than 0, and both are tighter than any real size.
    match (core, &base.limits.core) {
        (_, None) => Ok(()),
        (Some(ours), Some(base)) if ours.value == 1 || ours.value == base.value => Ok(()),
        (ours, Some(base)) => Err(raised("run.limits.core", ours, base)),
    }
}

fn limit<T: PartialOrd>(key: &str, ours: &Option<Located<T>>, base: &Option<Located<T>>) -> Check {
    match (ours, base) {
        (_, None) => Ok(()),
        (Some(ours), Some(base)) if ours.value <= base.value => Ok(()),
        (ours, Some(base)) => Err(raised(key, ours, base)),
    }
}

fn raised<T>(key: &str, ours: &Option<Located<T>>, base: &Located<T>) -> Loosening {
    Loosening {
        key: key.to_owned(),
        what: "allows more".to_owned(),
        origin: ours.as_ref().map(|ours| ours.origin.clone()),
        base: Some(base.origin.clone()),
    }
}

fn variables(ours: &Variables, base: &Variables) -> Check {
    within("variables.keep", &ours.keep, &base.keep, |base, one| base.covers(one), ToString::to_string)?;
    includes("variables.never", &ours.never, &base.never, |ours, one| ours.covers(one), ToString::to_string)?;
    let keeps = |list: &[Located<super::Glob>], name: &str| {
        list.iter().any(|keep| keep.value.matches(name.as_bytes()))
    };
    for check in &ours.check {
        let theirs = base.check.iter().find(|theirs| theirs.name == check.name);
        let key = || format!("variables.check.{}", check.name);
        match theirs {
            Some(theirs) if theirs.pattern != check.pattern => {
                return loosens(&key(), "has another expression", &check.pattern, &theirs.pattern);
            }
            None if !keeps(&base.keep, &check.name) => return Err(added(key(), &check.pattern.origin)),
            _ => {}
        }
    }
    for check in &base.check {
        let gone = !ours.check.iter().any(|ours| ours.name == check.name);
        if gone && keeps(&ours.keep, &check.name) {
            return Err(gone_from(format!("variables.check.{}", check.name), &check.pattern.origin));
        }
    }
    let find = |list: &[(String, Located<String>)], name: &str| {
        list.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
    };
    for (name, value) in &ours.set {
        let key = format!("variables.set.{name}");
        match find(&base.set, name) {
            Some(theirs) if theirs == *value => {}
            Some(theirs) => return loosens(&key, "gives another value", value, &theirs),
            None if keeps(&base.keep, name) => {}
            None => return Err(added(key, &value.origin)),
        }
    }
    match base.set.iter().find(|(name, _)| find(&ours.set, name).is_none()) {
        Some((name, value)) => Err(gone_from(format!("variables.set.{name}"), &value.origin)),
        None => Ok(()),
    }
}

fn added(key: String, origin: &Origin) -> Loosening {
    Loosening { key, what: "is added".to_owned(), origin: Some(origin.clone()), base: None }
}

fn gone_from(key: String, base: &Origin) -> Loosening {
    Loosening { key, what: "is taken out".to_owned(), origin: None, base: Some(base.clone()) }
}

fn files(ours: &Files, base: &Files) -> Check {
    let covers = |base: &PathPattern, one: &PathPattern| base.covers(one);
    let all = |lists: &[&[Located<PathPattern>]]| lists.concat();
    within("files.write", &ours.write, &base.write, covers, ToString::to_string)?;
    let caches = all(&[&base.caches, &base.write]);
    within("files.caches", &ours.caches, &caches, covers, ToString::to_string)?;
    let read = all(&[&base.read, &base.write, &base.caches]);
    within("files.read", &ours.read, &read, covers, ToString::to_string)?;
    at_least("files.cache_mode", &ours.cache_mode, &base.cache_mode)?;
    at_least("files.late_names", &ours.late_names, &base.late_names)
}

fn guards(ours: &[Guard], base: &[Guard]) -> Check {
    for guard in base.iter().filter(|guard| guard.action.value != Action::Allow) {
        let key = format!("guard `{}`", guard.id.value);
        match ours.iter().find(|ours| ours.id == guard.id) {
            Some(ours) => self::guard(&key, ours, guard)?,
            None => return Err(gone_from(key, guard.origin())),
        }
    }
    let place = |list: &[Guard], id: &Located<String>| list.iter().position(|guard| guard.id == *id);
    for (index, exception) in ours.iter().enumerate().filter(|(_, guard)| guard.action.value == Action::Allow)
    {
        let key = format!("guard `{}`", exception.id.value);
        let Some(theirs) = base.iter().position(|guard| guard == exception) else {
            return Err(added(key, exception.origin()));
        };
        // An exception counts for the guards before it: it must not have more of them than it had.
        for before in ours.iter().take(index) {
            if place(base, &before.id).is_some_and(|place| place > theirs) {
                let what = format!("stands after guard `{}`", before.id.value);
                let (origin, base) = (Some(exception.origin().clone()), Some(before.origin().clone()));
                return Err(Loosening { key, what, origin, base });
            }
        }
    }
    Ok(())
}

fn guard(key: &str, ours: &Guard, base: &Guard) -> Check {
    let sub = |name: &str| format!("{key} {name}");
    at_least(&sub("action"), &ours.action, &base.action)?;
    if ours.access != base.access {
        let word = |access: Access| access.name();
        let what = format!("is for {} and not for {}", word(ours.access), word(base.access));
        return loosens(&sub("access"), what, &ours.id, &base.id);
    }
    let path = |ours: &PathPattern, one: &PathPattern| ours.covers(one);
    let name = |ours: &NamePattern, one: &NamePattern| ours.covers(one);
    includes(&sub("path"), &ours.path, &base.path, path, ToString::to_string)?;
    includes(&sub("name"), &ours.name, &base.name, name, ToString::to_string)?;
    includes(&sub("under"), &ours.under, &base.under, path, ToString::to_string)?;
    within(&sub("except"), &ours.except, &base.except, name, ToString::to_string)?;
    if base.needles && !ours.needles {
        return loosens(&sub("needles"), "is off", &ours.id, &base.id);
    }
    match (&ours.keys, &base.keys) {
        (_, None) => Ok(()),
        (Some(ours), Some(base)) if ours.file == base.file => {
            let glob = |ours: &super::Glob, one: &super::Glob| ours.covers(one);
            includes(&sub("keys.deny"), &ours.deny, &base.deny, glob, ToString::to_string)
        }
        (_, Some(_)) => loosens(&sub("keys"), "is for another file", &ours.id, &base.id),
    }
}

fn network(ours: &Network, base: &Network) -> Check {
    at_least("network.mode", &ours.mode, &base.mode)?;
    includes("network.deny", &ours.deny, &base.deny, |ours, one| ours.covers(one), ToString::to_string)
}

fn sockets(ours: &Sockets, base: &Sockets) -> Check {
    for socket in Socket::ALL {
        let key = format!("sockets.{}", socket.name());
        let (ours, base) = (ours.get(socket), base.get(socket));
        at_least(&key, &ours.usage, &base.usage)?;
        if ours.usage.value == super::SocketUse::Absent || base.commands.is_empty() {
            continue;
        }
        let commands = format!("{key}.commands");
        if ours.commands.is_empty() {
            return loosens(&commands, "is empty, which lets any command use it", &ours.usage, &base.usage);
        }
        within(&commands, &ours.commands, &base.commands, PartialEq::eq, Clone::clone)?;
    }
    Ok(())
}

fn redact(ours: &Redact, base: &Redact) -> Check {
    includes("redact.rules", &ours.rules, &base.rules, PartialEq::eq, Clone::clone)?;
    let word = |encoding: &super::Encoding| encoding.name().to_owned();
    includes("redact.encodings", &ours.encodings, &base.encodings, PartialEq::eq, word)?;
    at_least("redact.written_files", &ours.written_files, &base.written_files)?;
    match base.own.iter().find(|rule| !ours.own.contains(rule)) {
        Some(rule) => Err(gone_from(format!("redact.rule `{}`", rule.id.value), &rule.id.origin)),
        None => Ok(()),
    }
}

fn events(ours: &Events, base: &Events) -> Check {
    if ours.store != base.store {
        return loosens("events.store", "is another directory", &ours.store, &base.store);
    }
    if ours.keep.days.value < base.keep.days.value {
        return loosens("events.keep.days", "keeps fewer", &ours.keep.days, &base.keep.days);
    }
    if ours.keep.bytes.value < base.keep.bytes.value {
        return loosens("events.keep.bytes", "keeps fewer", &ours.keep.bytes, &base.keep.bytes);
    }
    includes("events.also", &ours.also, &base.also, PartialEq::eq, ToString::to_string)?;
    at_least("events.on_denied", &ours.on_denied, &base.on_denied)
}

/// Entitlements may be left out and not changed.
fn same<T: PartialEq>(
    table: &str,
    ours: &BTreeMap<String, Located<T>>,
    base: &BTreeMap<String, Located<T>>,
) -> Check {
    for (name, one) in ours {
        let key = format!("{table}.{name}");
        match base.get(name) {
            Some(theirs) if theirs == one => {}
            Some(theirs) => return loosens(&key, "says something else", one, theirs),
            None => return Err(added(key, &one.origin)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
