//! Document → [`Policy`]: every value is checked, and laid over the policy that the file extends.
//!
//! Lists add up. Values of maps and single values replace the inherited ones. Whatever is wrong is noted and left
//! out, so that one pass finds all that is wrong with a file.

mod entitlements;
mod guards;
mod read;

use super::document::{At, Bytes, Document, Entries, KeepDoc, LimitsDoc, List, Name, Period, RuleOfSocket};
use super::problem::{Problem, nearest, one_of};
use super::settings::{Layers, Limits, SocketRule, Sockets, Variables};
use super::tape::Tape;
use super::{
    CacheMode, Check, Encoding, Events, Files, Glob, HostSettings, Keep, LateNames, Located, Mark, Mode,
    Named, Network, NetworkMode, OnDenied, Origin, PathPattern, Policy, Redact, RedactFormat, Run, Slice,
    Socket, SocketUse, Source, Store, Tier, TierWish, Wish, WrittenFiles,
};

/// What `default.toml` is laid over. It names every key of its sections, so that nothing of this is left; a test
/// holds it to that.
pub(super) fn bare(source: &Source) -> Policy {
    let origin = Origin { source: source.clone(), line: 0 };
    fn at<T>(origin: &Origin, value: T) -> Located<T> {
        Located::new(value, origin.clone())
    }
    let absent = || SocketRule { usage: at(&origin, SocketUse::Absent), commands: Vec::new(), reason: None };
    Policy {
        mode: at(&origin, Mode::Enforce),
        locked: false,
        tier: TierWish {
            minimum: at(&origin, Tier::Kernel),
            layers: Layers { wishes: [(); 7].map(|()| at(&origin, Wish::Require)) },
        },
        run: Run {
            user: None,
            hint: at(&origin, false),
            limits: Limits::default(),
            environment: at(&origin, String::new()),
        },
        variables: Variables { keep: Vec::new(), check: Vec::new(), set: Vec::new(), never: Vec::new() },
        files: Files {
            write: Vec::new(),
            caches: Vec::new(),
            cache_mode: at(&origin, CacheMode::ReadOnly),
            read: Vec::new(),
            late_names: at(&origin, LateNames::Opener),
        },
        guards: Vec::new(),
        procfs_debug: at(&origin, false),
        network: Network { mode: at(&origin, NetworkMode::None), deny: Vec::new() },
        sockets: Sockets { rules: [absent(), absent(), absent(), absent(), absent()] },
        devices: Vec::new(),
        redact: Redact {
            mark: at(&origin, Mark::Plain),
            format: at(&origin, RedactFormat::Auto),
            rules: Vec::new(),
            own: Vec::new(),
            encodings: Vec::new(),
            written_files: at(&origin, WrittenFiles::Fail),
        },
        events: Events {
            store: at(&origin, Store::Auto),
            keep: Keep { days: at(&origin, 0), bytes: at(&origin, 0) },
            also: Vec::new(),
            on_denied: at(&origin, OnDenied::Log),
        },
        host: HostSettings { always: Vec::new(), flag: Vec::new(), flags_per_minute: at(&origin, 0) },
        environments: Default::default(),
        secrets: Default::default(),
        tools: Default::default(),
    }
}

/// Lays documents over a policy, and notes what is wrong with them.
pub(super) struct Builder<'b> {
    tape: &'b Tape<'b>,
    source: &'b Source,
    /// The whole text, if it is that of a built-in policy.
    built_in: Option<&'static str>,
    problems: Vec<Problem>,
}

impl<'b> Builder<'b> {
    /// For a file that an operator wrote.
    pub(super) fn for_file(tape: &'b Tape<'b>, source: &'b Source) -> Builder<'b> {
        Builder { tape, source, built_in: None, problems: Vec::new() }
    }

    /// For a file that comes with the binary. What needs time to check, and what may be there or not depending on
    /// the policy below, is left to tests.
    pub(super) fn for_built_in(tape: &'b Tape<'static>, source: &'b Source) -> Builder<'b> {
        Builder { tape, source, built_in: Some(tape.text), problems: Vec::new() }
    }

    /// Lays `document` over `policy`. `host` says that it is the host's own file, the only one that may be locked.
    pub(super) fn lay(&mut self, policy: &mut Policy, document: &Document<'_>, host: bool) {
        self.head(policy, document, host);
        self.tier_and_run(policy, document);
        self.variables(&mut policy.variables, document);
        self.files(&mut policy.files, document);
        self.guards(&mut policy.guards, &document.guard);
        self.network(policy, document);
        self.redact(&mut policy.redact, document);
        self.events(&mut policy.events, document);
        self.host(&mut policy.host, document);
        self.entitlements(policy, document);
    }

    /// What is wrong, in no order.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// The part of a built-in policy's text that `part` is, so that a pattern need not copy it.
fn same_in(all: Option<&'static str>, part: &str) -> Option<&'static str> {
    let all = all?;
    let start = part.as_ptr().addr().checked_sub(all.as_ptr().addr())?;
    all.get(start..start.checked_add(part.len())?)
}

impl Builder<'_> {
    fn origin(&self, token: usize) -> Origin {
        let line = self.tape.tokens.get(token).map_or(0, |token| token.line);
        Origin { source: self.source.clone(), line }
    }

    fn located<T>(&self, value: T, token: usize) -> Located<T> {
        Located::new(value, self.origin(token))
    }

    fn problem(&mut self, token: usize, title: impl Into<String>, label: impl Into<String>) {
        let span = self.tape.tokens.get(token).map_or(0..0, |token| token.start as usize..token.end as usize);
        self.problems.push(Problem::new(title, span, label));
    }

    /// `whose` names the key, as in ``for `mode` at the top level``.
    fn bad(&mut self, token: usize, whose: &str, label: impl Into<String>) {
        self.problem(token, format!("bad value {whose}"), label);
    }

    fn word<T: Named>(&self, slot: &mut Located<T>, given: Option<At<Name<T>>>) {
        if let Some(At { value: Name(value), token }) = given {
            *slot = self.located(value, token);
        }
    }

    fn flag(&self, slot: &mut Located<bool>, given: Option<At<bool>>) {
        if let Some(At { value, token }) = given {
            *slot = self.located(value, token);
        }
    }

    /// Lays a list over the inherited one. `read` says why an entry is not one, as a clause about it.
    fn list<T: PartialEq>(
        &mut self,
        slot: &mut Vec<Located<T>>,
        given: &List<'_>,
        key: &str,
        show: impl Fn(&T) -> String,
        read: impl Fn(&str) -> Result<T, String>,
    ) {
        let given = given.as_deref().unwrap_or_default();
        // First, so that an entry can be taken out and written anew.
        for At { value: text, token } in given {
            let Some(text) = text.strip_prefix('!') else { continue };
            let Some(value) = self.entry(*token, key, text, &read) else { continue };
            match slot.iter().position(|have| have.value == value) {
                Some(index) => drop(slot.remove(index)),
                None => {
                    let known: Vec<String> = slot.iter().map(|have| show(&have.value)).collect();
                    self.nothing_to_take_out(*token, key, text, &known);
                }
            }
        }
        slot.reserve_exact(given.len());
        for At { value: text, token } in given.iter().filter(|at| !at.value.starts_with('!')) {
            let Some(value) = self.entry(*token, key, text, &read) else { continue };
            if !slot.iter().any(|have| have.value == value) {
                slot.push(self.located(value, *token));
            }
        }
    }

    fn entry<T>(
        &mut self,
        token: usize,
        key: &str,
        text: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        read(text).map_err(|why| self.bad(token, &format!("in {key}"), format!("`{text}` {why}"))).ok()
    }

    /// A built-in policy may be laid over a host's, which may lack what the built-in one takes out.
    fn nothing_to_take_out(&mut self, token: usize, key: &str, text: &str, known: &[String]) {
        if self.built_in.is_some() {
            return;
        }
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = nearest(text, &known).map(|near| format!("; did you mean `!{near}`?")).unwrap_or_default();
        self.problem(
            token,
            format!("nothing to take out of {key}"),
            format!("`{text}` is not inherited{hint}"),
        );
    }

    fn paths(&mut self, slot: &mut Vec<Located<PathPattern>>, given: &List<'_>, key: &str) {
        let built_in = self.built_in;
        self.list(slot, given, key, ToString::to_string, |text| {
            let path = match same_in(built_in, text) {
                Some(text) => PathPattern::known(text),
                None => PathPattern::new(text),
            };
            path.map_err(|why| why.to_string())
        });
    }

    fn globs(&mut self, slot: &mut Vec<Located<Glob>>, given: &List<'_>, key: &str) {
        let built_in = self.built_in;
        self.list(slot, given, key, ToString::to_string, |text| match same_in(built_in, text) {
            Some(text) => Ok(Glob::known(text)),
            None => Glob::new(text).map_err(|why| why.to_string()),
        });
    }

    fn words<T: Named>(&mut self, slot: &mut Vec<Located<T>>, given: &List<'_>, key: &str) {
        self.list(
            slot,
            given,
            key,
            |word| word.word().to_owned(),
            |text| {
                T::from_name(text).ok_or_else(|| {
                    let near = nearest(text, T::NAMES).map(|near| format!("; did you mean `{near}`?"));
                    format!("is not known; {}{}", one_of(T::NAMES), near.unwrap_or_default())
                })
            },
        );
    }

    fn head(&mut self, policy: &mut Policy, document: &Document<'_>, host: bool) {
        match document.version {
            Some(At { value: 1, .. }) => {}
            Some(At { token, .. }) => {
                self.bad(token, "for `version` at the top level", "this keyblind reads version 1");
            }
            None => self.problem(0, "missing key `version` at the top level", "add `version = 1`"),
        }
        self.word(&mut policy.mode, document.mode);
        if let Some(At { value, token }) = document.locked {
            if value && !host {
                self.problem(
                    token,
                    "`locked` counts only in the host's policy",
                    "write it in /etc/keyblind/policy.toml, or leave it out",
                );
            }
            policy.locked = value && host;
        }
    }

    fn tier_and_run(&mut self, policy: &mut Policy, document: &Document<'_>) {
        let layers = &document.tier.layers;
        self.word(&mut policy.tier.minimum, document.tier.minimum);
        let given = [
            layers.seccomp,
            layers.no_new_privs,
            layers.confinement,
            layers.bpf_lsm,
            layers.cgroup,
            layers.network_limits,
            layers.landlock_scopes,
        ];
        for (slot, given) in policy.tier.layers.wishes.iter_mut().zip(given) {
            self.word(slot, given);
        }
        let run = &document.run;
        self.flag(&mut policy.run.hint, run.hint);
        self.limits(&mut policy.run.limits, &run.limits);
        if let Some(At { value, token }) = run.environment {
            if let Err(why) = read::key(value) {
                self.bad(token, "for `environment` in [run]", format!("`{value}` {why}"));
            }
            policy.run.environment = self.located(value.to_owned(), token);
        }
        if let Some(At { value, token }) = run.user {
            match value {
                "root" | "0" => {
                    self.bad(token, "for `user` in [run]", "a run is never root; name another user")
                }
                "" => self.bad(token, "for `user` in [run]", "name a user, or leave the key out"),
                _ => policy.run.user = Some(self.located(value.to_owned(), token)),
            }
        }
        self.flag(&mut policy.procfs_debug, document.procfs.debug);
    }

    fn limits(&mut self, slot: &mut Limits, given: &LimitsDoc) {
        let LimitsDoc { processes, open_files, core, memory, cpu, timeout } = given;
        for (slot, given, least, key) in [
            (&mut slot.processes, processes.map(|at| (at.value, at.token)), 2, "processes"),
            (&mut slot.open_files, open_files.map(|at| (at.value, at.token)), 16, "open_files"),
            (&mut slot.core, core.map(|at| (at.value.0, at.token)), 0, "core"),
            (&mut slot.memory, memory.map(|at| (at.value.0, at.token)), 1 << 20, "memory"),
        ] {
            let Some((value, token)) = given else { continue };
            if value < least {
                let whose = format!("for `{key}` in [run.limits]");
                self.bad(token, &whose, format!("nothing runs with less than {least}"));
            }
            *slot = Some(self.located(value, token));
        }
        for (slot, given) in [(&mut slot.cpu, cpu), (&mut slot.timeout, timeout)] {
            if let Some(At { value: Period(value), token }) = given {
                *slot = Some(self.located(*value, *token));
            }
        }
    }

    fn variables(&mut self, slot: &mut Variables, document: &Document<'_>) {
        let given = &document.variables;
        self.globs(&mut slot.keep, &given.keep, "`keep` in [variables]");
        self.globs(&mut slot.never, &given.never, "`never` in [variables]");
        self.entries(&mut slot.check, &given.check, "check", |value| {
            regex::bytes::RegexBuilder::new(value)
                .unicode(false)
                .size_limit(1 << 20)
                .build()
                .map(drop)
                .map_err(read::regex_error)
        });
        self.entries(&mut slot.set, &given.set, "set", |value| match value.contains('\0') {
            true => Err("a value cannot hold a NUL byte".to_owned()),
            false => Ok(()),
        });
        self.never(slot, document);
    }

    fn entries<T: NamedEntry>(
        &mut self,
        slot: &mut Vec<T>,
        given: &Entries<'_, At<&str>>,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) {
        for (At { value: name, token }, At { value, token: value_token }) in &given.0 {
            let bare = name.strip_prefix('!').unwrap_or(name);
            let found = slot.iter().position(|have| have.key() == bare);
            if name.starts_with('!') {
                match found {
                    Some(index) => drop(slot.remove(index)),
                    None => {
                        let known: Vec<String> = slot.iter().map(|have| have.key().to_owned()).collect();
                        self.nothing_to_take_out(*token, &format!("[variables.{key}]"), bare, &known);
                    }
                }
                continue;
            }
            if let Err(why) = read::variable(bare) {
                self.bad(*token, &format!("for a name in [variables.{key}]"), format!("`{bare}` {why}"));
                continue;
            }
            // What comes with the binary is checked by a test, not in each run.
            if self.built_in.is_none()
                && let Err(why) = check(value)
            {
                self.bad(*value_token, &format!("for `{bare}` in [variables.{key}]"), why);
                continue;
            }
            let entry = T::new(bare, self.located((*value).to_owned(), *value_token));
            match found.and_then(|index| slot.get_mut(index)) {
                Some(have) => *have = entry,
                None => slot.push(entry),
            }
        }
        slot.sort_by(|a, b| a.key().cmp(b.key()));
    }

    /// What this file keeps or sets against `never` is a mistake that would otherwise show up only as a variable
    /// that is not there.
    fn never(&mut self, slot: &Variables, document: &Document<'_>) {
        if self.built_in.is_some() {
            return;
        }
        let given = &document.variables;
        let kept = given.keep.iter().flatten().filter(|at| !at.value.contains(['*', '!']));
        let named = given.check.0.iter().chain(&given.set.0).map(|(name, _)| name);
        for At { value, token } in kept.chain(named) {
            let hit = slot.never.iter().find(|never| never.value.matches(value.as_bytes()));
            if let Some(Located { value: never, origin }) = hit {
                self.problem(
                    *token,
                    format!("`{value}` can be neither kept nor set"),
                    format!("{origin} says never `{never}`; `never = [\"!{never}\"]` would take that out"),
                );
            }
        }
    }

    fn files(&mut self, slot: &mut Files, document: &Document<'_>) {
        let given = &document.files;
        self.paths(&mut slot.write, &given.write, "`write` in [files]");
        self.paths(&mut slot.caches, &given.caches, "`caches` in [files]");
        self.paths(&mut slot.read, &given.read, "`read` in [files]");
        self.word(&mut slot.cache_mode, given.cache_mode);
        self.word(&mut slot.late_names, given.late_names);
    }

    fn network(&mut self, policy: &mut Policy, document: &Document<'_>) {
        self.word(&mut policy.network.mode, document.network.mode);
        let deny = &document.network.deny;
        self.list(&mut policy.network.deny, deny, "`deny` in [network]", ToString::to_string, read::network);
        self.words(&mut policy.devices, &document.devices.allow, "`allow` in [devices]");
        let sockets = &document.sockets;
        let given =
            [&sockets.ssh_agent, &sockets.gpg_agent, &sockets.docker, &sockets.dbus, &sockets.display];
        for ((slot, given), socket) in policy.sockets.rules.iter_mut().zip(given).zip(Socket::ALL) {
            if let Some(given) = given
                && let Some(rule) = self.socket(socket, given)
            {
                *slot = rule;
            }
        }
    }

    fn socket(&mut self, socket: Socket, given: &At<RuleOfSocket<'_>>) -> Option<SocketRule> {
        let key = format!("for `{}` in [sockets]", socket.name());
        let (usage, token, commands, reason) = match &given.value {
            RuleOfSocket::Word(usage) => (*usage, given.token, &None, None),
            RuleOfSocket::Table(table) => {
                (table.usage.value.0, table.usage.token, &table.commands, table.reason.as_ref())
            }
        };
        if usage == SocketUse::Sign && socket != Socket::SshAgent {
            self.bad(token, &key, "only the SSH agent can sign; expected `absent` or `allow`");
            return None;
        }
        let reason = reason.map(|at| at.value.trim()).filter(|reason| !reason.is_empty());
        if usage == SocketUse::Allow && reason.is_none() {
            let name = socket.name();
            let label = format!("say why: {name} = {{ use = \"allow\", reason = \"…\" }}");
            self.problem(token, format!("`allow` without a reason {key}"), label);
            return None;
        }
        let mut list = Vec::new();
        let whose = format!("`commands` in [sockets.{}]", socket.name());
        self.list(&mut list, commands, &whose, Clone::clone, read::command_name);
        Some(SocketRule {
            usage: self.located(usage, token),
            commands: list,
            reason: reason.map(str::to_owned),
        })
    }

    fn redact(&mut self, slot: &mut Redact, document: &Document<'_>) {
        let given = &document.redact;
        self.word(&mut slot.mark, given.mark);
        self.word(&mut slot.format, given.format);
        self.word(&mut slot.written_files, given.written_files);
        self.words::<Encoding>(&mut slot.encodings, &given.encodings, "`encodings` in [redact]");
        self.list(&mut slot.rules, &given.rules, "`rules` in [redact]", Clone::clone, |text| match text {
            "default" => Ok(text.to_owned()),
            _ => {
                Err("is not a built-in set; expected `default`. Rules of your own are [[redact.rule]]".into())
            }
        });
        self.rules(&mut slot.own, &given.rule);
    }

    fn events(&mut self, slot: &mut Events, document: &Document<'_>) {
        let given = &document.events;
        self.word(&mut slot.on_denied, given.on_denied);
        if let Some(At { value, token }) = given.store {
            let store = match value {
                "auto" => Ok(Store::Auto),
                path => PathPattern::new(path).map(Store::At),
            };
            match store {
                Ok(Store::At(path)) if path.has_glob() => {
                    self.bad(token, "for `store` in [events]", "expected one directory, without `*`");
                }
                Ok(store) => slot.store = self.located(store, token),
                Err(why) => self.bad(token, "for `store` in [events]", format!("`{value}` {why}")),
            }
        }
        let KeepDoc { days, bytes } = &given.keep;
        if let Some(At { value, token }) = days {
            slot.keep.days = self.located(*value, *token);
        }
        if let Some(At { value: Bytes(value), token }) = bytes {
            slot.keep.bytes = self.located(*value, *token);
        }
        self.list(&mut slot.also, &given.also, "`also` in [events]", ToString::to_string, read::sink);
    }

    fn host(&mut self, slot: &mut HostSettings, document: &Document<'_>) {
        let given = &document.host;
        self.list(&mut slot.always, &given.always, "`always` in [host]", ToString::to_string, Slice::new);
        self.list(&mut slot.flag, &given.flag, "`flag` in [host]", ToString::to_string, Slice::new);
        if let Some(At { value, token }) = given.flags_per_minute {
            slot.flags_per_minute = self.located(value, token);
        }
    }
}

/// A variable and what policy says about it.
trait NamedEntry {
    fn new(name: &str, value: Located<String>) -> Self;
    fn key(&self) -> &str;
}

impl NamedEntry for Check {
    fn new(name: &str, pattern: Located<String>) -> Check {
        Check { name: name.to_owned(), pattern }
    }

    fn key(&self) -> &str {
        &self.name
    }
}

impl NamedEntry for (String, Located<String>) {
    fn new(name: &str, value: Located<String>) -> Self {
        (name.to_owned(), value)
    }

    fn key(&self) -> &str {
        &self.0
    }
}
