//! What a policy asks for that needs a mechanism of its own, so that `plan` can refuse or report what is not there.

use std::borrow::Cow;
use std::fmt;

use super::{
    Access, Action, Base, BuiltIn, Files, Guard, LateNames, Located, OnDenied, Origin, PathPattern, Policy,
    RedactFormat, Socket, SocketUse, WrittenFiles,
};

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FeatureKind {
    /// A guard on reading something inside a tree that the run is granted, or on names.
    GuardInside,
    /// A guard on writing.
    GuardWrite,
    /// A guard that hands out a masked copy.
    GuardMask,
    /// A guard that hides.
    GuardHide,
    /// A guard that records and lets pass.
    GuardFlag,
    /// An exception from other guards.
    GuardAllow,
    /// A guard on keys of a configuration file.
    GuardKeys,
    /// Needles from a guarded file.
    GuardNeedles,
    /// Guarded names that appear during a run.
    LateNames,
    /// The first refusal told to the command.
    Hint,
    /// Denied addresses.
    NetworkDeny,
    /// An agent that signs.
    SocketSign,
    /// A service of the host inside a run.
    SocketAllow,
    /// Device nodes.
    Devices,
    /// Streams of JSON documents.
    RedactJsonl,
    /// Rules of the operator's own.
    RedactRule,
    /// The scan of written files.
    WrittenFiles,
    /// Events in another place.
    EventsAlso,
    /// Ending what was refused something.
    OnDenied,
    /// Environments and their sources.
    Environment,
    /// Secrets.
    Secret,
    /// Tools.
    Tool,
}

/// One thing that a policy asks for. Shown as the key and its value, such as ``guard `project.dotenv`: action mask``.
#[derive(Debug, Clone)]
pub struct Feature<'p> {
    /// Which mechanism it needs.
    pub kind: FeatureKind,
    /// The guard that asks, if it is one.
    pub guard: Option<&'p Guard>,
    /// Where. Built in for what the built-in default asks for too, even when an operator repeats it.
    pub origin: Cow<'p, Origin>,
    /// What was asked for; of a guard, without its name: it is put in words only where somebody reads it.
    what: Cow<'static, str>,
}

impl Feature<'_> {
    fn is_same(&self, other: &Feature<'_>) -> bool {
        let id = |feature: &Feature<'_>| feature.guard.map(|guard| guard.id.value.clone());
        self.kind == other.kind && self.what == other.what && id(self) == id(other)
    }
}

impl fmt::Display for Feature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.guard {
            Some(guard) => write!(f, "guard `{}`: {}", guard.id.value, self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Policy {
    /// Everything that this policy asks for and that needs a mechanism of its own, the guards' first.
    /// What the built-in default asks for has a built-in origin; everything else is an operator's wish.
    pub fn features(&self) -> Vec<Feature<'_>> {
        let mut asked = self.asked();
        if asked.iter().any(|feature| !feature.origin.is_built_in())
            && let Ok(default) = BuiltIn::Default.policy()
        {
            let default = default.asked();
            for feature in &mut asked {
                if let Some(same) = default.iter().find(|have| have.is_same(feature)) {
                    feature.origin = Cow::Owned(same.origin.clone().into_owned());
                }
            }
        }
        asked
    }

    fn asked(&self) -> Vec<Feature<'_>> {
        use FeatureKind as Kind;
        let mut asked = Vec::with_capacity(self.guards.len() * 2);
        let grants = Grants::of(&self.files);
        for guard in &self.guards {
            of_guard(guard, &grants, &mut asked);
        }
        let mut add = |kind, origin, what: String| {
            asked.push(Feature { kind, what: what.into(), guard: None, origin: Cow::Borrowed(origin) });
        };
        if self.run.hint.value {
            add(Kind::Hint, &self.run.hint.origin, "run.hint".to_owned());
        }
        if self.files.late_names.value == LateNames::Opener {
            add(Kind::LateNames, &self.files.late_names.origin, "files.late_names = \"opener\"".to_owned());
        }
        for deny in &self.network.deny {
            add(Kind::NetworkDeny, &deny.origin, format!("network.deny `{}`", deny.value));
        }
        for socket in Socket::ALL {
            let rule = self.sockets.get(socket);
            let (kind, word) = match rule.usage.value {
                SocketUse::Absent => continue,
                SocketUse::Sign => (Kind::SocketSign, "sign"),
                SocketUse::Allow => (Kind::SocketAllow, "allow"),
            };
            add(kind, &rule.usage.origin, format!("sockets.{} = \"{word}\"", socket.name()));
        }
        for device in &self.devices {
            add(Kind::Devices, &device.origin, format!("devices.allow `{}`", device.value.name()));
        }
        if self.redact.format.value == RedactFormat::Jsonl {
            add(Kind::RedactJsonl, &self.redact.format.origin, "redact.format = \"jsonl\"".to_owned());
        }
        for rule in &self.redact.own {
            add(Kind::RedactRule, &rule.id.origin, format!("redact.rule `{}`", rule.id.value));
        }
        let written = &self.redact.written_files;
        if written.value != WrittenFiles::Off {
            let what = format!("redact.written_files = \"{}\"", written.value.name());
            add(Kind::WrittenFiles, &written.origin, what);
        }
        for also in &self.events.also {
            add(Kind::EventsAlso, &also.origin, format!("events.also `{}`", also.value));
        }
        let on_denied = &self.events.on_denied;
        if on_denied.value != OnDenied::Log {
            let what = format!("events.on_denied = \"{}\"", on_denied.value.name());
            add(Kind::OnDenied, &on_denied.origin, what);
        }
        for (name, environment) in &self.environments {
            add(Kind::Environment, &environment.origin, format!("environment `{name}`"));
        }
        for (name, secret) in &self.secrets {
            add(Kind::Secret, &secret.origin, format!("secret `{name}`"));
        }
        for (name, tool) in &self.tools {
            add(Kind::Tool, &tool.origin, format!("tool `{name}`"));
        }
        asked
    }
}

fn of_guard<'p>(guard: &'p Guard, grants: &Grants<'p>, asked: &mut Vec<Feature<'p>>) {
    use FeatureKind as Kind;
    let origin = guard.origin();
    let action = &guard.action.origin;
    let mut add = |kind, origin: &'p Origin, what: &'static str| {
        let (what, origin) = (Cow::Borrowed(what), Cow::Borrowed(origin));
        asked.push(Feature { kind, what, guard: Some(guard), origin });
    };
    match guard.action.value {
        Action::Deny => {}
        Action::Hide => add(Kind::GuardHide, action, "action hide"),
        Action::Mask => add(Kind::GuardMask, action, "action mask"),
        Action::Flag => add(Kind::GuardFlag, action, "action flag"),
        Action::Allow => add(Kind::GuardAllow, action, "action allow"),
    }
    if guard.access == Access::Write {
        add(Kind::GuardWrite, origin, "access write");
    } else if let Some(grant) = guard.path.iter().find_map(|path| grants.grant(&path.value)) {
        // Whoever grants the tree asks for what is needed in it.
        let asks = if origin.is_built_in() { &grant.origin } else { origin };
        add(Kind::GuardInside, asks, "inside a granted tree");
    } else if !guard.name.is_empty() {
        add(Kind::GuardInside, origin, "inside a granted tree");
    }
    if guard.keys.is_some() {
        add(Kind::GuardKeys, origin, "keys");
    }
    if guard.needles {
        add(Kind::GuardNeedles, origin, "needles");
    }
}

/// What policy grants of the file system, by where it begins: each path of each guard is compared with each grant that
/// could hold it, at each start.
struct Grants<'p>([Vec<&'p Located<PathPattern>>; Base::COUNT]);

impl<'p> Grants<'p> {
    fn of(files: &'p Files) -> Self {
        let mut grants = [const { Vec::new() }; Base::COUNT];
        for granted in files.read.iter().chain(&files.write).chain(&files.caches) {
            for (base, list) in grants.iter_mut().enumerate() {
                if granted.value.base as usize == base || granted.value.is_everything() {
                    list.push(granted);
                }
            }
        }
        Self(grants)
    }

    /// What grants `path`, as far as that can be said without knowing home and project. An operator's grant counts
    /// before a built-in one.
    fn grant(&self, path: &PathPattern) -> Option<&'p Located<PathPattern>> {
        let granted = self.0[path.base as usize].iter().copied();
        granted
            .filter(|granted| granted.value.covers(path))
            .max_by_key(|granted| !granted.origin.is_built_in())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Source;
    use super::*;

    fn wishes(text: &str) -> Vec<String> {
        let source = Source::File(Path::new("/p.toml").into());
        let text = format!("version = 1\n{text}\n");
        let policy = Policy::parse(&text, &source).unwrap_or_else(|report| panic!("{report}"));
        let features = policy.features().into_iter().filter(|feature| !feature.origin.is_built_in());
        features.map(|feature| format!("{}: {feature}", feature.origin)).collect()
    }

    #[test]
    fn a_file_that_asks_for_nothing_new_has_no_wishes() {
        assert_eq!(wishes(""), Vec::<String>::new());
    }

    #[test]
    fn what_the_default_asks_for_too_is_no_wish() {
        let text = "[files]\nlate_names = \"opener\"\n[run]\nhint = true\n[redact]\nwritten_files = \"flag\"\n\
                    [sockets]\nssh-agent = { use = \"sign\", commands = [\"ssh\", \"git\"] }";
        assert_eq!(wishes(text), Vec::<String>::new());
    }

    #[test]
    fn a_guard_outside_granted_trees_needs_nothing_and_one_inside_does() {
        let guard = |path: &str, rest: &str| {
            format!("[[guard]]\nid = \"g\"\nreason = \"r\"\npath = [\"{path}\"]\n{rest}")
        };
        assert_eq!(wishes(&guard("/srv/x", "")), Vec::<String>::new());
        assert_eq!(wishes(&guard("~/.secret", "")), Vec::<String>::new());
        assert_eq!(wishes(&guard("/etc/x", "")), ["/p.toml:3: guard `g`: inside a granted tree"]);
        assert_eq!(wishes(&guard("${project}/x", "")), ["/p.toml:3: guard `g`: inside a granted tree"]);
        assert_eq!(wishes(&guard("/srv/x", "action = \"hide\"")), ["/p.toml:6: guard `g`: action hide"]);
        assert_eq!(wishes(&guard("/srv/x", "action = \"flag\"")), ["/p.toml:6: guard `g`: action flag"]);
        assert_eq!(wishes(&guard("/srv/x", "action = \"allow\"")), ["/p.toml:6: guard `g`: action allow"]);
        assert_eq!(
            wishes(&guard("/srv/x", "action = \"mask\"\nneedles = true")),
            ["/p.toml:6: guard `g`: action mask", "/p.toml:3: guard `g`: needles"]
        );
        assert_eq!(
            wishes(&guard("/srv/x", "access = \"write\"\nkeys = { file = \"/f\", deny = [\"a\"] }")),
            ["/p.toml:3: guard `g`: access write", "/p.toml:3: guard `g`: keys"]
        );
    }

    #[test]
    fn a_built_in_guard_inside_a_newly_granted_tree_is_the_operators_wish() {
        // `~/.aws` granted: its guard must then be enforced within it.
        let wishes = wishes("[files]\nread = [\"~/.aws\"]");
        assert!(
            wishes.iter().any(|wish| wish.contains("guard `aws.credentials`: inside a granted tree")),
            "{wishes:?}"
        );
    }

    #[test]
    fn keys() {
        for (text, wish) in [
            ("[sockets]\ndocker = { use = \"allow\", reason = \"r\" }", "sockets.docker = \"allow\""),
            ("[devices]\nallow = [\"kvm\"]", "devices.allow `kvm`"),
            ("[network]\ndeny = [\"192.0.2.1\"]", "network.deny `192.0.2.1`"),
            ("[redact]\nformat = \"jsonl\"", "redact.format = \"jsonl\""),
            ("[redact]\nwritten_files = \"fail\"", "redact.written_files = \"fail\""),
            ("[events]\nalso = [\"ocsf:/x\"]", "events.also `ocsf:/x`"),
            ("[events]\non_denied = \"stop-run\"", "events.on_denied = \"stop-run\""),
            ("[environment.a]\nsources = [\"store\"]", "environment `a`"),
        ] {
            let line = if text.starts_with("[environment") { 2 } else { 3 };
            assert_eq!(wishes(text), [format!("/p.toml:{line}: {wish}")]);
        }
    }
}
