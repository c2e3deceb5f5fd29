//! Guards and redaction rules: lists of tables, each with an id and a reason.

use keyblind_redact::{Matcher, RuleError};

use super::super::document::{At, GuardDoc, KeysDoc, RuleDoc};
use super::super::{Access, Action, Base, Guard, GuardKeys, Located, NamePattern, PathPattern, RedactRule};
use super::{Builder, read, same_in};

/// A table of which the id may be `!X`, to take the inherited `X` out.
trait Entry: PartialEq {
    fn id(&self) -> &Located<String>;
}

impl Entry for Guard {
    fn id(&self) -> &Located<String> {
        &self.id
    }
}

impl Entry for RedactRule {
    fn id(&self) -> &Located<String> {
        &self.id
    }
}

impl Builder<'_> {
    /// A guard of a built-in policy, of which the ids are known to be unique.
    pub(in super::super) fn built_in_guard(&mut self, slot: &mut Vec<Guard>, doc: &GuardDoc<'_>) {
        slot.extend(self.guard(doc));
    }

    pub(super) fn guards(&mut self, slot: &mut Vec<Guard>, given: &[GuardDoc<'_>]) {
        for guard in given {
            let alone = guard.path.is_none()
                && guard.name.is_none()
                && guard.under.is_none()
                && guard.except.is_none()
                && guard.access.is_none()
                && guard.action.is_none()
                && guard.needles.is_none()
                && guard.keys.is_none();
            self.take_out(slot, "guard", guard.id, alone);
        }
        let mut own = Vec::new();
        for doc in given.iter().filter(|guard| !guard.id.value.starts_with('!')) {
            if let Some(guard) = self.guard(doc) {
                self.add(slot, &mut own, "guard", doc.id.token, guard);
            }
        }
        slot.append(&mut own);
    }

    pub(super) fn rules(&mut self, slot: &mut Vec<RedactRule>, given: &[RuleDoc<'_>]) {
        for rule in given {
            let alone = rule.pattern.is_none()
                && rule.keyword.is_none()
                && rule.examples.is_none()
                && rule.counter_examples.is_none();
            self.take_out(slot, "redact.rule", rule.id, alone);
        }
        let mut own = Vec::new();
        for doc in given.iter().filter(|rule| !rule.id.value.starts_with('!')) {
            if let Some(rule) = self.rule(doc) {
                self.add(slot, &mut own, "redact.rule", doc.id.token, rule);
            }
        }
        slot.append(&mut own);
    }

    fn take_out<T: Entry>(&mut self, slot: &mut Vec<T>, table: &str, id: At<&str>, alone: bool) {
        let Some(name) = id.value.strip_prefix('!') else { return };
        if !alone {
            self.problem(
                id.token,
                format!("more than an id and a reason in [[{table}]] `!{name}`"),
                format!("write [[{table}]] `{name}` anew in a table of its own"),
            );
        }
        match slot.iter().position(|have| have.id().value == name) {
            Some(index) => drop(slot.remove(index)),
            None => {
                let known: Vec<String> = slot.iter().map(|have| have.id().value.clone()).collect();
                self.nothing_to_take_out(id.token, &format!("[[{table}]]"), name, &known);
            }
        }
    }

    fn add<T: Entry>(&mut self, slot: &[T], own: &mut Vec<T>, table: &str, token: usize, entry: T) {
        let id = &entry.id().value;
        let in_file = own.iter().find(|have| have.id().value == *id);
        let inherited = slot.iter().find(|have| have.id().value == *id);
        match (in_file, inherited) {
            (Some(first), _) => {
                let label = format!("the first is on line {}; ids are unique", first.id().origin.line);
                self.problem(token, format!("[[{table}]] `{id}` is written twice"), label);
            }
            (None, Some(have)) if *have == entry => {}
            (None, Some(have)) => {
                let origin = &have.id().origin;
                let label = format!("{origin} has it; take that out first: id = \"!{id}\", and a reason");
                self.problem(token, format!("[[{table}]] `{id}` is inherited already"), label);
            }
            (None, None) => own.push(entry),
        }
    }

    fn id(&mut self, table: &str, id: At<&str>) -> Located<String> {
        if let Err(why) = read::key(id.value) {
            self.bad(id.token, &format!("for `id` in [[{table}]]"), format!("`{}` {why}", id.value));
        }
        self.located(id.value.to_owned(), id.token)
    }

    fn reason(&mut self, table: &str, reason: At<&str>) -> String {
        let text = reason.value.trim();
        if text.is_empty() {
            let label = "say why it is there: whoever is refused reads it";
            self.problem(reason.token, format!("empty `reason` in [[{table}]]"), label);
        }
        text.to_owned()
    }

    fn guard(&mut self, doc: &GuardDoc<'_>) -> Option<Guard> {
        let id = self.id("guard", doc.id);
        let reason = self.reason("guard", doc.reason);
        let before = self.problems.len();
        let mut path = Vec::new();
        self.paths(&mut path, &doc.path, "`path` in [[guard]]");
        let mut name = Vec::new();
        self.names(&mut name, &doc.name, "`name` in [[guard]]");
        let mut under = Vec::new();
        self.paths(&mut under, &doc.under, "`under` in [[guard]]");
        let mut except = Vec::new();
        self.names(&mut except, &doc.except, "`except` in [[guard]]");
        let access = doc.access.map_or(Access::Read, |at| at.value.0);
        let action = doc.action.map_or_else(
            || Located::new(Action::Deny, id.origin.clone()),
            |at| self.located(at.value.0, at.token),
        );
        let keys = doc.keys.as_ref().and_then(|keys| self.keys(keys));
        if self.problems.len() == before {
            self.guard_makes_sense(doc, access, action.value);
        }
        if !name.is_empty() && under.is_empty() {
            under = [Base::Project, Base::Home]
                .map(|base| Located::new(PathPattern::of(base), id.origin.clone()))
                .into();
        }
        let needles = doc.needles.is_some_and(|at| at.value);
        Some(Guard { id, path, name, under, except, access, action, needles, keys, reason })
    }

    fn guard_makes_sense(&mut self, doc: &GuardDoc<'_>, access: Access, action: Action) {
        let has = |list: &Option<Vec<At<&str>>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let token = doc.id.token;
        let id = doc.id.value;
        if !has(&doc.path) && !has(&doc.name) && doc.keys.is_none() {
            self.problem(token, format!("guard `{id}` guards nothing"), "add `path`, `name` or `keys`");
        }
        if has(&doc.under) && !has(&doc.name) {
            let label = "`under` says where `name` counts; add `name`, or leave `under` out";
            self.problem(token, format!("guard `{id}` has `under` without `name`"), label);
        }
        if access == Access::Write && matches!(action, Action::Mask | Action::Hide) {
            let token = doc.action.map_or(token, |at| at.token);
            let label = "a write can be refused or recorded; expected `deny`, `flag` or `allow`";
            self.bad(token, "for `action` in [[guard]]", label);
        }
        if let (Some(_), Access::Read) = (&doc.keys, access) {
            let label = "keys are judged when the file is written; add `access = \"write\"`";
            self.problem(token, format!("guard `{id}` has `keys` without write access"), label);
        }
        if let Some(At { value: true, token }) = doc.needles
            && (access == Access::Write || action == Action::Allow)
        {
            self.bad(token, "for `needles` in [[guard]]", "only what is kept from being read has needles");
        }
    }

    fn keys(&mut self, doc: &KeysDoc<'_>) -> Option<GuardKeys> {
        let file = match PathPattern::new(doc.file.value) {
            Ok(file) if !file.has_glob() => self.located(file, doc.file.token),
            Ok(_) => {
                self.bad(doc.file.token, "for `file` in [guard.keys]", "expected one file, without `*`");
                return None;
            }
            Err(why) => {
                let label = format!("`{}` {why}", doc.file.value);
                self.bad(doc.file.token, "for `file` in [guard.keys]", label);
                return None;
            }
        };
        let mut deny = Vec::new();
        self.globs(&mut deny, &Some(doc.deny.clone()), "`deny` in [guard.keys]");
        Some(GuardKeys { file, deny })
    }

    fn names(&mut self, slot: &mut Vec<Located<NamePattern>>, given: &Option<Vec<At<&str>>>, key: &str) {
        let built_in = self.built_in;
        self.list(slot, given, key, ToString::to_string, |text| {
            match same_in(built_in, text).filter(|text| !text.contains('{')) {
                Some(text) => Ok(NamePattern::known(text)),
                None => NamePattern::new(text).map_err(|why| why.to_string()),
            }
        });
    }

    fn rule(&mut self, doc: &RuleDoc<'_>) -> Option<RedactRule> {
        let id = self.id("redact.rule", doc.id);
        let reason = self.reason("redact.rule", doc.reason);
        let Some(pattern) = doc.pattern else {
            self.problem(doc.id.token, "missing key `pattern` in [[redact.rule]]", "add `pattern = …`");
            return None;
        };
        let examples = doc.examples.as_deref().unwrap_or_default();
        let counter = doc.counter_examples.as_deref().unwrap_or_default();
        let texts = |list: &[At<&str>]| list.iter().map(|at| at.value.to_owned()).collect();
        let rule = RedactRule {
            id,
            pattern: self.located(pattern.value.to_owned(), pattern.token),
            keyword: doc.keyword.map(|at| at.value.to_owned()),
            reason,
            examples: texts(examples),
            counter_examples: texts(counter),
        };
        self.rule_makes_sense(doc, pattern, &rule);
        Some(rule)
    }

    /// The engine itself says whether it can use a rule: what passes here never fails in a run.
    fn rule_makes_sense(&mut self, doc: &RuleDoc<'_>, pattern: At<&str>, rule: &RedactRule) {
        let nth = |list: &Option<Vec<At<&str>>>, number: usize| {
            list.as_ref()
                .and_then(|list| list.get(number.saturating_sub(1)))
                .map_or(doc.id.token, |at| at.token)
        };
        match Matcher::builder().rule(&rule.operator_rule()).err() {
            None => {}
            Some(RuleError::Pattern { reason, .. }) => {
                self.bad(pattern.token, "for `pattern` in [[redact.rule]]", reason);
            }
            Some(error @ (RuleError::TooLarge { .. } | RuleError::Everyday { .. })) => {
                self.bad(pattern.token, "for `pattern` in [[redact.rule]]", error.to_string());
            }
            Some(RuleError::Example { number, .. }) => {
                let token = nth(&doc.examples, number);
                self.bad(token, "in `examples` in [[redact.rule]]", "the pattern does not find this");
            }
            Some(RuleError::CounterExample { number, .. }) => {
                let token = nth(&doc.counter_examples, number);
                self.bad(token, "in `counter_examples` in [[redact.rule]]", "the pattern finds this");
            }
            Some(_) => {
                let label = "a built-in rule has this name; take another";
                self.bad(doc.id.token, "for `id` in [[redact.rule]]", label);
            }
        }
        if rule.examples.is_empty() {
            let label = "add `examples = [\"…\"]`: a rule shows what it finds";
            self.problem(doc.id.token, format!("rule `{}` has no examples", rule.id.value), label);
        }
        if let Some(At { value: keyword, token }) = doc.keyword
            && !rule.examples.iter().all(|example| example.contains(keyword))
        {
            let label = "not every example holds it";
            self.bad(token, "for `keyword` in [[redact.rule]]", label);
        }
    }
}
