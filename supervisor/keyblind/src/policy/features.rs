//! What a policy asks for that needs a mechanism of its own, so that `plan` can refuse or report what is not there.

use std::fmt;

use super::{
    Access, Action, BuiltIn, Guard, LateNames, OnDenied, Origin, PathPattern, Policy, RedactFormat, Socket,
    SocketUse, WrittenFiles,
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

/// One thing that a policy asks for. Shown as the key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Which mechanism it needs.
    pub kind: FeatureKind,
    /// What was asked for, such as ``guard `project.dotenv`: mask``.
    pub what: String,
    /// Where. Built in for what the built-in default asks for too, even when an operator repeats it.
    pub origin: Origin,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Policy {
    /// Everything that this policy asks for and that needs a mechanism of its own, in the order of the file.
    /// What the built-in default asks for has a built-in origin; everything else is an operator's wish.
    pub fn features(&self) -> Vec<Feature> {
        let mut asked = self.asked();
        if asked.iter().any(|feature| !feature.origin.is_built_in())
            && let Ok(default) = BuiltIn::Default.policy()
        {
            let default = default.asked();
            for feature in &mut asked {
                let same =
                    default.iter().find(|have| (have.kind, &have.what) == (feature.kind, &feature.what));
                if let Some(same) = same {
                    feature.origin = same.origin.clone();
                }
            }
        }
        asked
    }

    fn asked(&self) -> Vec<Feature> {
        use FeatureKind as Kind;
        let mut asked = Vec::new();
        let mut add = |kind, origin: &Origin, what: String| {
            asked.push(Feature { kind, what, origin: origin.clone() });
        };
        if self.run.hint.value {
            add(Kind::Hint, &self.run.hint.origin, "run.hint".to_owned());
        }
        if self.files.late_names.value == LateNames::Opener {
            add(Kind::LateNames, &self.files.late_names.origin, "files.late_names = \"opener\"".to_owned());
        }
        for guard in &self.guards {
            for (kind, origin, what) in self.of_guard(guard) {
                add(kind, origin, format!("guard `{}`: {what}", guard.id.value));
            }
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

    fn of_guard<'g>(&self, guard: &'g Guard) -> Vec<(FeatureKind, &'g Origin, &'static str)> {
        use FeatureKind as Kind;
        let origin = guard.origin();
        let action = &guard.action.origin;
        let mut asked = Vec::new();
        match guard.action.value {
            Action::Deny => {}
            Action::Hide => asked.push((Kind::GuardHide, action, "action hide")),
            Action::Mask => asked.push((Kind::GuardMask, action, "action mask")),
            Action::Flag => asked.push((Kind::GuardFlag, action, "action flag")),
            Action::Allow => asked.push((Kind::GuardAllow, action, "action allow")),
        }
        if guard.access == Access::Write {
            asked.push((Kind::GuardWrite, origin, "access write"));
        } else if !guard.name.is_empty() || guard.path.iter().any(|path| self.grants(&path.value)) {
            asked.push((Kind::GuardInside, origin, "inside a granted tree"));
        }
        if guard.keys.is_some() {
            asked.push((Kind::GuardKeys, origin, "keys"));
        }
        if guard.needles {
            asked.push((Kind::GuardNeedles, origin, "needles"));
        }
        asked
    }

    /// Whether `files` grants `path`, as far as that can be said without knowing home and project.
    fn grants(&self, path: &PathPattern) -> bool {
        let files = &self.files;
        let mut granted = files.read.iter().chain(&files.write).chain(&files.caches);
        granted.any(|granted| granted.value.covers(path))
    }
}
