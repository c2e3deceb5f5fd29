//! Environments, secrets and tools. References between them are checked against everything that is inherited.

use std::collections::BTreeMap;

use super::super::document::{At, Document, EnvironmentDoc, GrantDoc, Name, ParamDoc, SecretDoc, ToolDoc};
use super::super::problem::nearest;
use super::super::{
    Deliver, Environment, Grant, Located, Param, ParamKind, Policy, Secret, Tool, ToolLimits, ToolResult, Via,
};
use super::{Builder, read};

impl Builder<'_> {
    pub(super) fn entitlements(&mut self, policy: &mut Policy, document: &Document<'_>) {
        for (name, doc) in &document.environment.0 {
            if self.key("environment", *name) {
                let environment = self.environment(*name, doc);
                let environment = self.located(environment, name.token);
                policy.environments.insert(name.value.to_owned(), environment);
            }
        }
        for (name, doc) in &document.secret.0 {
            if self.key("secret", *name) {
                let secret = self.secret(*name, doc, &policy.environments);
                let secret = self.located(secret, name.token);
                policy.secrets.insert(name.value.to_owned(), secret);
            }
        }
        for (name, doc) in &document.tool.0 {
            if self.key("tool", *name) {
                let tool = self.tool(*name, doc, &policy.secrets);
                let tool = self.located(tool, name.token);
                policy.tools.insert(name.value.to_owned(), tool);
            }
        }
        if let Some(At { value, token }) = document.run.environment
            && !policy.environments.is_empty()
            && !policy.environments.contains_key(value)
        {
            self.unknown(token, "environment", value, policy.environments.keys());
        }
    }

    fn key(&mut self, table: &str, name: At<&str>) -> bool {
        let checked = read::key(name.value);
        if let Err(why) = &checked {
            self.bad(name.token, &format!("for a name in [{table}]"), format!("`{}` {why}", name.value));
        }
        checked.is_ok()
    }

    fn unknown<'k>(&mut self, token: usize, what: &str, name: &str, known: impl Iterator<Item = &'k String>) {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let label = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is no [{what}.{name}]"),
        };
        self.problem(token, format!("unknown {what} `{name}`"), label);
    }

    fn environment(&mut self, name: At<&str>, doc: &EnvironmentDoc<'_>) -> Environment {
        let whose = format!("in `sources` in [environment.{}]", name.value);
        let mut sources = Vec::new();
        for At { value, token } in &doc.sources {
            match read::source(value) {
                Ok(source) => sources.push(self.located(source, *token)),
                Err(why) => self.bad(*token, &whose, format!("`{value}` {why}")),
            }
        }
        if name.value == "production" {
            for source in &doc.sources {
                if source.value.starts_with("dotenv:") {
                    let label =
                        "production takes no secret from a file of variables; use `store` or `vault:URL`";
                    self.bad(source.token, &whose, label);
                }
            }
        }
        let principal = doc.principal.map(|at| self.located(at.value.to_owned(), at.token));
        Environment { sources, principal }
    }

    fn secret(
        &mut self,
        name: At<&str>,
        doc: &SecretDoc<'_>,
        environments: &BTreeMap<String, Located<Environment>>,
    ) -> Secret {
        let mut from = BTreeMap::new();
        for (environment, At { value, token }) in &doc.from.0 {
            let Some(known) = environments.get(environment.value) else {
                self.unknown(environment.token, "environment", environment.value, environments.keys());
                continue;
            };
            let whose = format!("for `{}` in [secret.{}.from]", environment.value, name.value);
            match read::secret(value) {
                Ok(reference)
                    if !known.value.sources.iter().any(|source| source.value.scheme == reference.scheme) =>
                {
                    let label = format!("{} is no source of [environment.{}]", value, environment.value);
                    self.bad(*token, &whose, label);
                }
                Ok(reference) => {
                    from.insert(environment.value.to_owned(), self.located(reference, *token));
                }
                Err(why) => self.bad(*token, &whose, format!("`{value}` {why}")),
            }
        }
        Secret { from }
    }

    fn tool(
        &mut self,
        name: At<&str>,
        doc: &ToolDoc<'_>,
        secrets: &BTreeMap<String, Located<Secret>>,
    ) -> Tool {
        let table = format!("[tool.{}]", name.value);
        let mut command = Vec::new();
        for At { value, token } in &doc.command.value {
            command.push(self.located((*value).to_owned(), *token));
        }
        match doc.command.value.first() {
            Some(first) if first.value.starts_with('/') => {}
            Some(first) => {
                let label = format!("`{}` is relative; a tool is pinned by its absolute path", first.value);
                self.bad(first.token, &format!("for `command` in {table}"), label);
            }
            None => self.bad(doc.command.token, &format!("for `command` in {table}"), "name a program"),
        }
        let mut params = BTreeMap::new();
        for (param, doc) in &doc.params.0 {
            if self.key(&format!("tool.{}.params", name.value), *param) {
                params.insert(param.value.to_owned(), self.param(*param, doc, name.value));
            }
        }
        if params.values().filter(|param| param.via == Via::Stdin).count() > 1 {
            let label = "a tool has one standard input; let one parameter have it";
            self.problem(name.token, format!("two parameters via stdin in {table}"), label);
        }
        let grants = doc.grants.iter().filter_map(|doc| self.grant(doc, name.value, secrets)).collect();
        let result = match doc.result {
            None => self.located(ToolResult::Status, name.token),
            Some(At { value, token }) => match read::result(value) {
                Ok(result) => self.located(result, token),
                Err(why) => {
                    self.bad(token, &format!("for `result` in {table}"), format!("`{value}` {why}"));
                    self.located(ToolResult::Status, token)
                }
            },
        };
        if let Some(At { value: 0, token }) = doc.limits.per_minute {
            self.bad(
                token,
                &format!("for `per_minute` in {table}"),
                "a tool that may never be called is no tool",
            );
        }
        Tool {
            description: doc.description.value.to_owned(),
            command,
            params,
            grants,
            result,
            network: doc.network.mode.map(|At { value: Name(mode), token }| self.located(mode, token)),
            limits: ToolLimits {
                timeout: doc.limits.timeout.map(|at| self.located(at.value.0, at.token)),
                per_minute: doc.limits.per_minute.map(|at| self.located(at.value, at.token)),
            },
        }
    }

    fn param(&mut self, name: At<&str>, doc: &ParamDoc<'_>, tool: &str) -> Param {
        let table = format!("[tool.{tool}.params.{}]", name.value);
        let kind = doc.kind.value.0;
        let pattern = doc.pattern.map(|At { value, token }| {
            if let Err(error) = regex::RegexBuilder::new(value).size_limit(1 << 20).build() {
                self.bad(token, &format!("for `pattern` in {table}"), read::regex_error(error));
            } else if kind != ParamKind::String {
                self.bad(token, &format!("for `pattern` in {table}"), "only a string has a pattern");
            }
            self.located(value.to_owned(), token)
        });
        for bound in [doc.min, doc.max].into_iter().flatten() {
            if kind == ParamKind::Boolean {
                self.bad(bound.token, &format!("in {table}"), "true and false have no bounds");
            } else if kind == ParamKind::String && bound.value < 0 {
                self.bad(bound.token, &format!("in {table}"), "expected 0 or more bytes");
            }
        }
        if let (Some(min), Some(max)) = (doc.min, doc.max)
            && min.value > max.value
        {
            self.bad(min.token, &format!("for `min` in {table}"), "is above `max`; nothing would fit");
        }
        Param {
            kind,
            pattern,
            min: doc.min.map(|at| at.value),
            max: doc.max.map(|at| at.value),
            via: doc.via.map_or(Via::Argument, |at| at.value.0),
            optional: doc.optional,
        }
    }

    fn grant(
        &mut self,
        doc: &GrantDoc<'_>,
        tool: &str,
        secrets: &BTreeMap<String, Located<Secret>>,
    ) -> Option<Grant> {
        let key = format!("`hosts` in [[tool.{tool}.grants]]");
        if !secrets.contains_key(doc.secret.value) {
            self.unknown(doc.secret.token, "secret", doc.secret.value, secrets.keys());
            return None;
        }
        let mut hosts: Vec<Located<String>> = Vec::new();
        self.list(&mut hosts, &doc.hosts, &key, Clone::clone, read::host);
        let At { value: Name(deliver), token } = doc.deliver;
        match (deliver, doc.hosts.as_deref().unwrap_or_default()) {
            (Deliver::Broker, []) => {
                self.problem(
                    token,
                    format!("missing key {key}"),
                    "say which hosts the broker may send it to",
                );
            }
            (Deliver::Broker, _) | (_, []) => {}
            (_, [first, ..]) => {
                self.bad(first.token, &format!("for {key}"), "only `deliver = \"broker\"` looks at hosts");
            }
        }
        Some(Grant { secret: self.located(doc.secret.value.to_owned(), doc.secret.token), deliver, hosts })
    }
}
