//! Everything that is known before anything is started: policy, host, person, plan, variables, needles.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use keyblind_events::{RunId, SessionId};
use keyblind_redact::{Mark, Matcher, Shapes};
use keyblind_secrets::Locked;
use nix::unistd::{setfsgid, setfsuid};

use super::caller::{Caller, real_home, wipe};
use super::{Options, RunError};
use crate::host::{Host, Person, Survey, person, survey};
use crate::plan::{self, Plan, PlanError, Request, home_variables, plan, wanted};
use crate::policy::{self, Loaded, Overrides, Roots, Source};
use crate::registrar::client::{Offer, consult};

#[derive(Debug)]
pub(super) struct Materials {
    pub(super) run: RunId,
    pub(super) session: SessionId,
    /// What the host service would do for the run, until it does.
    pub(super) offer: Option<Offer>,
    pub(super) policy: Loaded,
    pub(super) host: Host,
    pub(super) person: Person,
    pub(super) request: Request,
    pub(super) survey: Survey,
    pub(super) plan: Plan,
    /// The command's variables.
    pub(super) variables: Vec<(OsString, OsString)>,
    /// Names that the command does not get.
    pub(super) dropped: usize,
    /// Values that must not come out.
    pub(super) needles: Locked,
    pub(super) environment: String,
    pub(super) umask: u32,
    pub(super) signal_mask: libc::sigset_t,
}

impl Materials {
    /// Gathers them. `run` names what is made on the host for the run; `journal` is where events go.
    pub(super) fn gather(
        options: &Options,
        (run, session): (&RunId, &SessionId),
        journal: &Path,
        caller: Caller,
    ) -> Result<Self, RunError> {
        let policy = policy::load(&policy::Sources {
            option: options.policy.clone(),
            mode: options.mode,
            variable: &|name: &str| caller.variable(name).map(OsStr::to_owned),
        })?;
        let mut host = Host::probe();
        let offer = consult(&mut host);
        let variable = |name: &str| caller.variable(name).map(OsStr::to_owned);
        let person = whom(options.user.as_deref(), &policy, &host, &variable)?;
        let environment = environment(options, &policy)?;
        let request = Request {
            command: options.command.clone(),
            project: caller.directory.clone(),
            write: absolute(&options.write, &caller.directory),
            own: own_files(journal, &policy),
            mode: options.mode,
            network: options.network,
            timeout: options.timeout,
            scratch: PathBuf::from("/tmp").join(format!("keyblind-{run}")),
        };
        let roots = Roots { project: &request.project, home: person.home.as_deref() };
        policy
            .policy
            .permits(
                &Overrides {
                    write: &request.write,
                    network: options.network,
                    timeout: options.timeout,
                    user: options.user.as_deref(),
                    environment: options.environment.as_deref(),
                },
                &roots,
            )
            .map_err(RunError::Locked)?;
        let (survey, plan) = planned(&policy, &host, &person, &request)?;
        let (umask, signal_mask) = (caller.umask, caller.signal_mask);
        let scrubbed = scrub(options, &policy, &person, caller.variables)?;
        Ok(Self {
            run: run.clone(),
            session: session.clone(),
            offer,
            policy,
            host,
            person,
            request,
            survey,
            plan,
            variables: scrubbed.variables,
            dropped: scrubbed.dropped,
            needles: scrubbed.needles,
            environment,
            umask,
            signal_mask,
        })
    }

    /// Plans again for a host that refused what it had seemed to offer. `None` if there is nothing to fall back to.
    pub(super) fn fall_back(&mut self, failure: &str) -> Result<(), RunError> {
        self.host = plan::without_namespaces(&self.host, failure);
        self.plan = plan(&self.policy.policy, &self.host, &self.person, &self.request, &self.survey)?;
        Ok(())
    }

    /// Plans again for a host that refused programs that guard addresses.
    pub(super) fn without_address_programs(&mut self, failure: &str) -> Result<(), RunError> {
        self.host = plan::without_address_programs(&self.host, failure);
        self.plan = plan(&self.policy.policy, &self.host, &self.person, &self.request, &self.survey)?;
        Ok(())
    }

    /// Plans again without the host service, which did not do what it had offered.
    pub(super) fn without_service(&mut self, failure: &str) -> Result<(), RunError> {
        self.offer = None;
        self.host = plan::without_service(&self.host, failure);
        self.plan = plan(&self.policy.policy, &self.host, &self.person, &self.request, &self.survey)?;
        Ok(())
    }

    /// The matcher for the run's streams.
    pub(super) fn matcher(&self) -> Matcher {
        let redact = &self.policy.policy.redact;
        let mark = match redact.mark.value {
            policy::Mark::Name => Mark::Name,
            policy::Mark::Plain => Mark::Plain,
        };
        let shapes = if redact.rules.is_empty() { Shapes::None } else { Shapes::Default };
        self.needles
            .iter()
            .fold(Matcher::builder().mark(mark).shapes(shapes), |builder, (name, value)| {
                builder.needle(name, value)
            })
            .build()
    }

    /// What an ordinary process would have and this run has not.
    pub(super) fn absent(&self) -> Vec<String> {
        let mut absent = vec![format!("{} variables", self.dropped)];
        let how = match self.plan.base {
            policy::Tier::InPlace => "Unix sockets are refused altogether",
            _ => "no socket",
        };
        absent.extend(policy::Socket::ALL.iter().map(|socket| format!("{}: {how}", socket.name())));
        absent
    }

    /// The command as it may be shown: arguments can hold secrets too, and the record is for many eyes. A value that
    /// stands beside a telling name is hidden whatever it looks like.
    pub(super) fn shown_command(&self, matcher: &Matcher) -> Vec<OsString> {
        let command = &self.request.command;
        let option_before = |number: usize| number.checked_sub(1).and_then(|before| command.get(before));
        command
            .iter()
            .enumerate()
            .map(|(number, argument)| {
                let beside = option_before(number).is_some_and(|name| is_telling_option(name, argument));
                if beside { "[REDACTED]".into() } else { shown(matcher, argument) }
            })
            .collect()
    }

    /// The plan in words.
    pub(super) fn describe(&self) -> String {
        let names: Vec<String> =
            self.variables.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        format!(
            "policy     {} (generation {})\nuser       {} ({}), home {}\n{}variables  {} dropped; given: {}\nneedles    {}\n",
            self.policy.source,
            self.policy.generation,
            self.person.name.as_deref().unwrap_or("-"),
            self.person.uid,
            self.person.home.as_ref().map_or("none".into(), |home| home.display().to_string()),
            self.plan,
            self.dropped,
            names.join(" "),
            self.needles
                .iter()
                .map(|(name, value)| format!("{name} ({} bytes)", value.len()))
                .collect::<Vec<_>>()
                .join(", "),
        )
    }
}

/// `text` without what the matcher finds in it.
pub(super) fn shown(matcher: &Matcher, text: &OsStr) -> OsString {
    let (mut shown, mut redactor) = (Vec::new(), matcher.redactor());
    drop(redactor.push(text.as_bytes(), &mut shown));
    drop(redactor.finish(&mut shown));
    OsString::from_vec(shown)
}

/// `--password`, `--api-key` and kin, in front of their value.
fn is_telling_option(option: &OsStr, value: &OsStr) -> bool {
    let Some(name) = option.as_bytes().strip_prefix(b"--") else { return false };
    let name: Vec<u8> =
        name.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }).collect();
    !value.as_bytes().starts_with(b"-") && policy::looks_secret(&name, value.as_bytes())
}

/// Who the run belongs to, and where its home is: `--user`, else policy's, else as [`person`] says. `variable`
/// looks up the caller's variables.
pub(crate) fn whom(
    user: Option<&str>,
    policy: &Loaded,
    host: &Host,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Person, RunError> {
    let asked = match (user, &policy.policy.run.user) {
        (Some(name), _) => Some((name, "--user".to_owned())),
        (None, Some(name)) => Some((name.value.as_str(), name.origin.to_string())),
        (None, None) => None,
    };
    let sudo = variable("SUDO_UID");
    let mut person = person(host, asked, sudo.as_deref().and_then(OsStr::to_str))?;
    // The caller's HOME counts for the caller itself, and for a user without an entry in the user database if it is
    // that user's: root's own must never become the home of somebody else.
    let given = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let owned = |home: &PathBuf| fs::metadata(home).is_ok_and(|home| home.uid() == person.uid.as_raw());
    if !person.switch {
        person.home = given.or(person.home);
    } else if person.home.is_none() {
        person.home = given.filter(owned);
    }
    person.home = person.home.as_deref().map(real_home).transpose()?;
    Ok(person)
}

/// Looks at what policy names with the eyes of the run's user, and plans.
pub(crate) fn planned(
    policy: &Loaded,
    host: &Host,
    person: &Person,
    request: &Request,
) -> Result<(Survey, Plan), PlanError> {
    let roots = Roots { project: &request.project, home: person.home.as_deref() };
    let survey =
        as_person(person, || survey(wanted(&policy.policy, &roots, host.kernel_programs.is_available())));
    let plan = plan(&policy.policy, host, person, request, &survey)?;
    Ok((survey, plan))
}

/// What keyblind itself writes and obeys.
pub(crate) fn own_files(journal: &Path, policy: &Loaded) -> Vec<PathBuf> {
    let mut own = vec![journal.to_owned()];
    if let Source::File(path) = &policy.source {
        own.push(path.to_path_buf());
    }
    own
}

/// Looks at files with the rights of the run's user: root would see through links to where that user may not go.
/// This thread is the only one (setfsuid(2) is per thread).
pub(super) fn as_person<T>(person: &Person, look: impl FnOnce() -> T) -> T {
    if !person.switch {
        return look();
    }
    let (gid, uid) = (setfsgid(person.gid), setfsuid(person.uid));
    let seen = look();
    setfsuid(uid);
    setfsgid(gid);
    seen
}

fn environment(options: &Options, policy: &Loaded) -> Result<String, RunError> {
    let default = &policy.policy.run.environment.value;
    match &options.environment {
        None => Ok(default.clone()),
        Some(name) if name == default || policy.policy.environments.contains_key(name) => Ok(name.clone()),
        Some(name) => Err(RunError::Option {
            option: "--environment".into(),
            why: format!(
                "{name:?} is not defined; add [environment.{name}] to the policy, or use {default:?}"
            ),
        }),
    }
}

fn absolute(paths: &[PathBuf], directory: &std::path::Path) -> Vec<PathBuf> {
    paths
        .iter()
        .map(|path| {
            let path = directory.join(path);
            // One that is not there is reported by the plan, under the name that was given.
            std::fs::canonicalize(&path).unwrap_or(path)
        })
        .collect()
}

struct Scrubbed {
    variables: Vec<(OsString, OsString)>,
    dropped: usize,
    needles: Locked,
}

/// Divides the caller's variables: what the command gets, what is a needle, and what is forgotten.
fn scrub(
    options: &Options,
    policy: &Loaded,
    person: &Person,
    variables: Vec<(OsString, OsString)>,
) -> Result<Scrubbed, RunError> {
    let mut needles: Vec<(String, Vec<u8>)> = Vec::new();
    for name in &options.redact_env {
        let value = variables.iter().find(|(have, _)| have == OsStr::new(name));
        let Some((_, value)) = value.filter(|(_, value)| !value.is_empty()) else {
            return Err(RunError::Option {
                option: format!("--redact-env {name}"),
                why: "there is no such variable, so its value cannot be redacted; set it or leave it out"
                    .to_owned(),
            });
        };
        needles.push((name.clone(), value.as_bytes().to_vec()));
    }
    let scrubbed = policy::scrub(&policy.policy, variables, &options.env)
        .map_err(|error| RunError::Option { option: "--env".into(), why: error.to_string() })?;
    let dropped = scrubbed.dropped.len();
    let mut forgotten = Vec::new();
    for variable in scrubbed.dropped {
        if variable.secret_looking {
            needles.push((variable.name.to_string_lossy().into_owned(), variable.value.as_bytes().to_vec()));
        }
        forgotten.push(variable.value);
    }
    let locked = Locked::new(needles.iter().map(|(name, value)| (name.clone(), value.as_slice())))?;
    wipe(forgotten.into_iter().chain(needles.into_iter().map(|(_, value)| OsString::from_vec(value))));
    let mut variables = scrubbed.kept;
    for (name, value) in home_variables(person) {
        variables.retain(|(have, _)| *have != name);
        variables.push((name, value));
    }
    Ok(Scrubbed { variables, dropped, needles: locked })
}
