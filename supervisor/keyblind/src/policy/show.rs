//! A policy as a file that says the same, each value with the line it came from.

use std::fmt;

use super::{
    BuiltIn, Check, Guard, Layer, Located, Origin, Param, Policy, RedactRule, Reference, Scheme, Socket,
    SocketRule, Store, Tool, ToolResult, Via,
};

impl Policy {
    /// The effective policy as a policy file: what it extends is the built-in default, and what was taken out of
    /// that is taken out again. Reading the text gives the same policy. Errors: as [`BuiltIn::policy`].
    pub fn show(&self) -> Result<String, super::Report> {
        let default = BuiltIn::Default.policy()?;
        let mut page = Page { text: String::new() };
        page.policy(self, &default);
        Ok(page.text)
    }
}

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl fmt::Display) {
        self.text.push_str(&format!("{line}\n"));
    }

    /// `key = value   # origin`
    fn set(&mut self, key: &str, value: impl fmt::Display, origin: &Origin) {
        self.line(format_args!("{key} = {value}   # {}", comment(origin)));
    }

    fn word(&mut self, key: &str, word: &str, origin: &Origin) {
        self.set(key, string(word), origin);
    }

    fn list<T: PartialEq>(
        &mut self,
        key: &str,
        ours: &[Located<T>],
        default: &[Located<T>],
        show: impl Fn(&T) -> String,
    ) {
        let out = default.iter().filter(|entry| !ours.contains(entry));
        self.line(format_args!("{key} = ["));
        for entry in out {
            self.line(format_args!("    {},", string(&format!("!{}", show(&entry.value)))));
        }
        for Located { value, origin } in ours {
            self.line(format_args!("    {},   # {}", string(&show(value)), comment(origin)));
        }
        self.line("]");
    }

    fn policy(&mut self, ours: &Policy, default: &Policy) {
        self.line("version = 1\nextends = \"default\"");
        self.word("mode", ours.mode.value.name(), &ours.mode.origin);
        if ours.locked {
            self.line("locked = true");
        }
        self.line("\n[tier]");
        self.word("minimum", ours.tier.minimum.value.name(), &ours.tier.minimum.origin);
        for layer in Layer::ALL {
            let wish = ours.tier.layers.get(layer);
            self.word(&format!("layers.{}", layer.name()), wish.value.name(), &wish.origin);
        }
        self.run(ours);
        self.variables(ours, default);
        self.line("\n[files]");
        let (files, inherited) = (&ours.files, &default.files);
        self.list("write", &files.write, &inherited.write, ToString::to_string);
        self.list("caches", &files.caches, &inherited.caches, ToString::to_string);
        self.word("cache_mode", files.cache_mode.value.name(), &files.cache_mode.origin);
        self.list("read", &files.read, &inherited.read, ToString::to_string);
        self.word("late_names", files.late_names.value.name(), &files.late_names.origin);
        self.line("\n[procfs]");
        self.set("debug", ours.procfs_debug.value, &ours.procfs_debug.origin);
        self.line("\n[network]");
        self.word("mode", ours.network.mode.value.name(), &ours.network.mode.origin);
        self.list("deny", &ours.network.deny, &default.network.deny, ToString::to_string);
        self.line("\n[sockets]");
        for socket in Socket::ALL {
            self.socket(socket, ours.sockets.get(socket));
        }
        self.line("\n[devices]");
        self.list("allow", &ours.devices, &default.devices, |device| device.name().to_owned());
        self.redact(ours, default);
        self.events(ours, default);
        self.guards(&ours.guards, &default.guards);
        self.entitlements(ours);
    }

    fn run(&mut self, ours: &Policy) {
        let run = &ours.run;
        self.line("\n[run]");
        if let Some(user) = &run.user {
            self.word("user", &user.value, &user.origin);
        }
        self.set("hint", run.hint.value, &run.hint.origin);
        self.word("environment", &run.environment.value, &run.environment.origin);
        let limits = &run.limits;
        for (key, limit) in [
            ("processes", &limits.processes),
            ("open_files", &limits.open_files),
            ("core", &limits.core),
            ("memory", &limits.memory),
        ] {
            if let Some(Located { value, origin }) = limit {
                self.set(&format!("limits.{key}"), value, origin);
            }
        }
        for (key, limit) in [("cpu", &limits.cpu), ("timeout", &limits.timeout)] {
            if let Some(Located { value, origin }) = limit {
                self.word(&format!("limits.{key}"), &format!("{}ms", value.as_millis()), origin);
            }
        }
    }

    fn variables(&mut self, ours: &Policy, default: &Policy) {
        let (ours, default) = (&ours.variables, &default.variables);
        self.line("\n[variables]");
        self.list("keep", &ours.keep, &default.keep, ToString::to_string);
        self.list("never", &ours.never, &default.never, ToString::to_string);
        let checks = |list: &[Check]| -> Vec<(String, Located<String>)> {
            list.iter().map(|check| (check.name.clone(), check.pattern.clone())).collect()
        };
        self.entries("check", &checks(&ours.check), &checks(&default.check));
        self.entries("set", &ours.set, &default.set);
    }

    fn entries(
        &mut self,
        key: &str,
        ours: &[(String, Located<String>)],
        default: &[(String, Located<String>)],
    ) {
        for (name, _) in default.iter().filter(|(name, _)| !ours.iter().any(|(have, _)| have == name)) {
            self.line(format_args!("{key}.{} = \"\"", string(&format!("!{name}"))));
        }
        for (name, value) in ours {
            self.word(&format!("{key}.{}", string(name)), &value.value, &value.origin);
        }
    }

    fn socket(&mut self, socket: Socket, rule: &SocketRule) {
        let mut parts = vec![format!("use = {}", string(rule.usage.value.name()))];
        if !rule.commands.is_empty() {
            parts.push(format!("commands = {}", strings(rule.commands.iter().map(|one| one.value.as_str()))));
        }
        if let Some(reason) = &rule.reason {
            parts.push(format!("reason = {}", string(reason)));
        }
        self.set(socket.name(), format_args!("{{ {} }}", parts.join(", ")), &rule.usage.origin);
    }

    fn redact(&mut self, ours: &Policy, default: &Policy) {
        let (ours, default) = (&ours.redact, &default.redact);
        self.line("\n[redact]");
        self.word("mark", ours.mark.value.name(), &ours.mark.origin);
        self.word("format", ours.format.value.name(), &ours.format.origin);
        self.list("rules", &ours.rules, &default.rules, Clone::clone);
        self.list("encodings", &ours.encodings, &default.encodings, |encoding| encoding.name().to_owned());
        self.word("written_files", ours.written_files.value.name(), &ours.written_files.origin);
        for RedactRule { id, pattern, keyword, reason, examples, counter_examples } in &ours.own {
            self.line("\n[[redact.rule]]");
            self.word("id", &id.value, &id.origin);
            self.word("pattern", &pattern.value, &pattern.origin);
            if let Some(keyword) = keyword {
                self.line(format_args!("keyword = {}", string(keyword)));
            }
            self.line(format_args!("reason = {}", string(reason)));
            self.line(format_args!("examples = {}", strings(examples.iter().map(String::as_str))));
            self.line(format_args!(
                "counter_examples = {}",
                strings(counter_examples.iter().map(String::as_str))
            ));
        }
    }

    fn events(&mut self, ours: &Policy, default: &Policy) {
        let events = &ours.events;
        self.line("\n[events]");
        let store = match &events.store.value {
            Store::Auto => "auto".to_owned(),
            Store::At(path) => path.to_string(),
        };
        self.word("store", &store, &events.store.origin);
        self.set("keep.days", events.keep.days.value, &events.keep.days.origin);
        self.set("keep.bytes", events.keep.bytes.value, &events.keep.bytes.origin);
        self.list("also", &events.also, &default.events.also, ToString::to_string);
        self.word("on_denied", events.on_denied.value.name(), &events.on_denied.origin);
        let host = &ours.host;
        self.line("\n[host]");
        self.list("always", &host.always, &default.host.always, ToString::to_string);
        self.list("flag", &host.flag, &default.host.flag, ToString::to_string);
        self.set("flags_per_minute", host.flags_per_minute.value, &host.flags_per_minute.origin);
    }

    fn guards(&mut self, ours: &[Guard], default: &[Guard]) {
        for gone in default.iter().filter(|guard| !ours.contains(guard)) {
            self.line("\n[[guard]]");
            self.line(format_args!("id = {}", string(&format!("!{}", gone.id.value))));
            self.line("reason = \"taken out\"");
        }
        for guard in ours {
            self.guard(guard);
        }
    }

    fn guard(&mut self, guard: &Guard) {
        let texts = |list: Vec<String>| strings(list.iter().map(String::as_str));
        self.line("\n[[guard]]");
        self.word("id", &guard.id.value, &guard.id.origin);
        let path = guard.path.iter().map(|one| one.value.to_string()).collect::<Vec<_>>();
        let name = guard.name.iter().map(|one| one.value.to_string()).collect::<Vec<_>>();
        let under = guard.under.iter().map(|one| one.value.to_string()).collect::<Vec<_>>();
        let except = guard.except.iter().map(|one| one.value.to_string()).collect::<Vec<_>>();
        for (key, list) in [("path", path), ("name", name), ("under", under), ("except", except)] {
            if !list.is_empty() {
                self.line(format_args!("{key} = {}", texts(list)));
            }
        }
        if let Some(keys) = &guard.keys {
            let deny = keys.deny.iter().map(|one| one.value.to_string()).collect();
            let file = string(&keys.file.value.to_string());
            self.line(format_args!("keys = {{ file = {file}, deny = {} }}", texts(deny)));
        }
        self.line(format_args!("access = {}", string(guard.access.name())));
        self.line(format_args!("action = {}", string(guard.action.value.name())));
        if guard.needles {
            self.line("needles = true");
        }
        self.line(format_args!("reason = {}", string(&guard.reason)));
    }

    fn entitlements(&mut self, ours: &Policy) {
        for (name, Located { value, origin }) in &ours.environments {
            self.heading(&format!("environment.{}", string(name)), origin);
            let sources: Vec<String> = value.sources.iter().map(|source| reference(&source.value)).collect();
            self.line(format_args!("sources = {}", strings(sources.iter().map(String::as_str))));
            if let Some(principal) = &value.principal {
                self.word("principal", &principal.value, &principal.origin);
            }
        }
        for (name, Located { value, origin }) in &ours.secrets {
            self.heading(&format!("secret.{}", string(name)), origin);
            if value.from.is_empty() {
                self.line("from = {}");
            }
            for (environment, from) in &value.from {
                self.word(&format!("from.{}", string(environment)), &reference(&from.value), &from.origin);
            }
        }
        for (name, Located { value, origin }) in &ours.tools {
            self.heading(&format!("tool.{}", string(name)), origin);
            self.tool(value);
        }
    }

    fn heading(&mut self, name: &str, origin: &Origin) {
        self.line(format_args!("\n[{name}]   # {}", comment(origin)));
    }

    fn tool(&mut self, tool: &Tool) {
        self.line(format_args!("description = {}", string(&tool.description)));
        self.line(format_args!("command = {}", strings(tool.command.iter().map(|one| one.value.as_str()))));
        for (name, param) in &tool.params {
            self.line(format_args!("params.{} = {}", string(name), parameter(param)));
        }
        let grants = tool.grants.iter().map(|grant| {
            let hosts = match grant.hosts.as_slice() {
                [] => String::new(),
                hosts => format!(", hosts = {}", strings(hosts.iter().map(|host| host.value.as_str()))),
            };
            let (secret, deliver) = (string(&grant.secret.value), string(grant.deliver.name()));
            format!("{{ secret = {secret}, deliver = {deliver}{hosts} }}")
        });
        self.line(format_args!("grants = [{}]", grants.collect::<Vec<_>>().join(", ")));
        let result = match &tool.result.value {
            ToolResult::Status => "status".to_owned(),
            ToolResult::Text => "text".to_owned(),
            ToolResult::Fields(fields) => format!("fields:{}", fields.join(",")),
        };
        self.word("result", &result, &tool.result.origin);
        if let Some(mode) = &tool.network {
            self.word("network.mode", mode.value.name(), &mode.origin);
        }
        if let Some(timeout) = &tool.limits.timeout {
            self.word("limits.timeout", &format!("{}ms", timeout.value.as_millis()), &timeout.origin);
        }
        if let Some(per_minute) = &tool.limits.per_minute {
            self.set("limits.per_minute", per_minute.value, &per_minute.origin);
        }
    }
}

fn parameter(param: &Param) -> String {
    let mut parts = vec![format!("type = {}", string(param.kind.name()))];
    if let Some(pattern) = &param.pattern {
        parts.push(format!("pattern = {}", string(&pattern.value)));
    }
    parts.extend(param.min.map(|min| format!("min = {min}")));
    parts.extend(param.max.map(|max| format!("max = {max}")));
    if param.via != Via::Argument {
        parts.push(format!("via = {}", string(param.via.name())));
    }
    if param.optional {
        parts.push("optional = true".to_owned());
    }
    format!("{{ {} }}", parts.join(", "))
}

fn reference(reference: &Reference) -> String {
    match (reference.scheme, reference.rest.as_str()) {
        (Scheme::Store | Scheme::Env, "") => reference.scheme.name().to_owned(),
        (scheme, rest) => format!("{}:{rest}", scheme.name()),
    }
}

/// An origin in a comment. A path may hold anything, a comment no line break.
fn comment(origin: &Origin) -> String {
    origin
        .to_string()
        .chars()
        .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
        .collect()
}

/// A TOML string.
fn string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn strings<'s>(list: impl Iterator<Item = &'s str>) -> String {
    format!("[{}]", list.map(string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Source;
    use super::super::parse::{Base, parse};
    use super::*;

    fn parsed(text: &str) -> Policy {
        let source = Source::File(Path::new("/p.toml").into());
        parse(text, &source, Base::Host).unwrap_or_else(|report| panic!("{report}"))
    }

    /// The order of these lists means nothing.
    fn sorted(mut policy: Policy) -> Policy {
        fn sort<T: Ord>(list: &mut [Located<T>]) {
            list.sort_by(|one, other| one.value.cmp(&other.value));
        }
        sort(&mut policy.variables.keep);
        sort(&mut policy.variables.never);
        sort(&mut policy.files.read);
        sort(&mut policy.redact.encodings);
        policy
    }

    #[test]
    fn what_is_shown_reads_as_the_same_policy() {
        for built_in in BuiltIn::ALL {
            let policy = built_in.policy().unwrap();
            assert_eq!(parsed(&policy.show().unwrap()), policy, "{}", built_in.name());
        }
        let examples = super::super::examples();
        assert!(examples.len() >= 3, "{} examples", examples.len());
        for (name, text) in examples {
            let policy = parsed(&text);
            assert_eq!(sorted(parsed(&policy.show().unwrap())), sorted(policy), "{name}");
        }
    }

    #[test]
    fn every_value_says_where_it_comes_from() {
        let text = "version = 1\nmode = \"audit\"\n[variables]\nkeep = [\"!CI\", \"A\"]\nset = { \"!HISTFILE\" = \"\" }\n";
        let shown = parsed(text).show().unwrap();
        for line in [
            "mode = \"audit\"   # /p.toml:2",
            "    \"!CI\",",
            "    \"A\",   # /p.toml:4",
            "set.\"!HISTFILE\" = \"\"",
            "minimum = \"in-place\"   # built-in default.toml:11",
        ] {
            assert!(shown.lines().any(|have| have == line), "{line} is not in\n{shown}");
        }
    }
}
