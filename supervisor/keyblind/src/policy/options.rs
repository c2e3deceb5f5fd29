//! Options of the command line against a locked host policy: they may tighten it and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use super::{Located, Loosening, NetworkMode, Origin, Policy, Roots};

/// What options ask for besides policy. `--policy` and `--mode` are the business of [`super::load`], `--env` that of
/// [`super::scrub`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides<'a> {
    /// `--write`, absolute and without `..` or links.
    pub write: &'a [PathBuf],
    /// `--net`
    pub network: Option<NetworkMode>,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--user`
    pub user: Option<&'a str>,
    /// `--environment`
    pub environment: Option<&'a str>,
}

impl Policy {
    /// Whether `overrides` may stand beside this policy: always, unless it is locked. Errors: the first option that
    /// loosens it.
    pub fn permits(&self, overrides: &Overrides<'_>, roots: &Roots<'_>) -> Result<(), Loosening> {
        if !self.locked {
            return Ok(());
        }
        let loosens = |option, key: &str, what: String, base: Option<&Origin>| {
            Err(Loosening {
                key: key.to_owned(),
                what,
                origin: Some(Origin::option(option)),
                base: base.cloned(),
            })
        };
        for path in overrides.write {
            if !self.files.write.iter().any(|tree| tree.value.contains(path, roots)) {
                return loosens("--write", "files.write", format!("does not have {}", path.display()), None);
            }
        }
        let mode = &self.network.mode;
        if let Some(asked) = overrides.network.filter(|asked| *asked < mode.value) {
            let what = format!("is `{}` and must stay `{}`", asked.name(), mode.value.name());
            return loosens("--net", "network.mode", what, Some(&mode.origin));
        }
        if let (Some(asked), Some(Located { value, origin })) = (overrides.timeout, &self.run.limits.timeout)
            && asked > *value
        {
            return loosens("--timeout", "run.limits.timeout", "is shorter".to_owned(), Some(origin));
        }
        if let (Some(asked), Some(Located { value, origin })) = (overrides.user, &self.run.user)
            && asked != value
        {
            return loosens("--user", "run.user", format!("must stay `{value}`"), Some(origin));
        }
        let Located { value, origin } = &self.run.environment;
        if overrides.environment.is_some_and(|asked| asked != value) {
            return loosens("--environment", "run.environment", format!("must stay `{value}`"), Some(origin));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Source;
    use super::super::parse::{Base, parse};
    use super::*;

    const TEXT: &str = "version = 1\nlocked = true\n[network]\nmode = \"loopback\"\n\
                        [run]\nuser = \"agent\"\nlimits = { timeout = \"1m\" }\n";

    fn host(text: &str) -> Policy {
        parse(text, &Source::File(Path::new("/h.toml").into()), Base::Host)
            .unwrap_or_else(|report| panic!("{report}"))
    }

    fn check(overrides: Overrides<'_>, expected: Option<&str>) {
        let roots = Roots { project: Path::new("/src/app"), home: None };
        let refused = host(TEXT).permits(&overrides, &roots).err().map(|loosening| loosening.to_string());
        assert_eq!(refused.as_deref(), expected);
        let unlocked = host(&TEXT.replace("locked = true", "locked = false"));
        assert_eq!(unlocked.permits(&overrides, &roots), Ok(()));
    }

    #[test]
    fn options_may_tighten_a_locked_policy() {
        let write = ["/src/app/out".into(), "/tmp/x".into()];
        check(
            Overrides {
                write: &write,
                network: Some(NetworkMode::None),
                timeout: Some(Duration::from_secs(60)),
                user: Some("agent"),
                environment: Some("development"),
            },
            None,
        );
        check(Overrides::default(), None);
    }

    #[test]
    fn options_may_not_loosen_a_locked_policy() {
        let none = Overrides::default;
        let write = ["/srv".into()];
        check(Overrides { write: &write, ..none() }, Some("--write: `files.write` does not have /srv"));
        check(
            Overrides { network: Some(NetworkMode::Host), ..none() },
            Some("--net: `network.mode` is `host` and must stay `loopback` (/h.toml:4)"),
        );
        check(
            Overrides { timeout: Some(Duration::from_secs(61)), ..none() },
            Some("--timeout: `run.limits.timeout` is shorter (/h.toml:7)"),
        );
        check(
            Overrides { user: Some("jo"), ..none() },
            Some("--user: `run.user` must stay `agent` (/h.toml:6)"),
        );
        let default = super::super::BuiltIn::Default.policy().unwrap().run.environment.origin;
        check(
            Overrides { environment: Some("production"), ..none() },
            Some(&format!("--environment: `run.environment` must stay `development` ({default})")),
        );
    }
}
