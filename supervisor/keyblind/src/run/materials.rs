//! Everything that is known before anything is started: policy, host, person, plan, variables, needles.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use keyblind_events::RunId;
use keyblind_redact::{Mark, Matcher, Shapes};
use keyblind_secrets::Locked;

use super::caller::{Caller, real_home, wipe};
use super::{Options, RunError};
use crate::host::{Host, Person, Survey, person, survey};
use crate::plan::{self, Plan, Request, home_variables, plan, wanted};
use crate::policy::{self, Loaded, Roots};

#[derive(Debug)]
pub(super) struct Materials {
    pub(super) run: RunId,
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
    /// The command as it is shown in events: redacted.
    pub(super) shown_command: Vec<OsString>,
    pub(super) environment: String,
    pub(super) umask: u32,
    pub(super) signal_mask: libc::sigset_t,
}

impl Materials {
    /// Gathers them. `run` names what is made on the host for the run.
    pub(super) fn gather(options: &Options, run: &RunId, caller: Caller) -> Result<Self, RunError> {
        let policy = policy::load(&policy::Sources {
            option: options.policy.clone(),
            mode: options.mode,
            variable: &|name: &str| caller.variable(name).map(OsStr::to_owned),
        })?;
        let host = Host::probe();
        let person = whom(options, &policy, &host, &caller)?;
        let environment = environment(options, &policy)?;
        let request = Request {
            command: options.command.clone(),
            project: caller.directory.clone(),
            write: absolute(&options.write, &caller.directory),
            mode: options.mode,
            network: options.network,
            timeout: options.timeout,
            scratch: PathBuf::from("/tmp").join(format!("keyblind-{run}")),
        };
        let roots = Roots { project: &request.project, home: person.home.as_deref() };
        let survey = survey(wanted(&policy.policy, &roots));
        let plan = plan(&policy.policy, &host, &person, &request, &survey)?;
        let (umask, signal_mask) = (caller.umask, caller.signal_mask);
        let scrubbed = scrub(options, &policy, &person, caller.variables)?;
        let mut materials = Self {
            run: run.clone(),
            policy,
            host,
            person,
            request,
            survey,
            plan,
            variables: scrubbed.variables,
            dropped: scrubbed.dropped,
            needles: scrubbed.needles,
            shown_command: Vec::new(),
            environment,
            umask,
            signal_mask,
        };
        materials.shown_command = materials.redacted_command();
        Ok(materials)
    }

    /// Plans again for a host that refused what it had seemed to offer. `None` if there is nothing to fall back to.
    pub(super) fn fall_back(&mut self, failure: &str) -> Result<(), RunError> {
        self.host = plan::without_namespaces(&self.host, failure);
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
        absent.extend(policy::Socket::ALL.iter().map(|socket| format!("{}: no socket", socket.name())));
        absent
    }

    /// Arguments can hold secrets too, and the record is for many eyes.
    fn redacted_command(&self) -> Vec<OsString> {
        let matcher = self.matcher();
        self.request
            .command
            .iter()
            .map(|argument| {
                let (mut shown, mut redactor) = (Vec::new(), matcher.redactor());
                drop(redactor.push(argument.as_bytes(), &mut shown));
                drop(redactor.finish(&mut shown));
                OsString::from_vec(shown)
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

fn whom(options: &Options, policy: &Loaded, host: &Host, caller: &Caller) -> Result<Person, RunError> {
    let of_policy = policy.policy.run.user.as_ref();
    let asked = match (&options.user, of_policy) {
        (Some(name), _) => Some((name.as_str(), "--user".to_owned())),
        (None, Some(name)) => Some((name.value.as_str(), name.origin.to_string())),
        (None, None) => None,
    };
    let sudo = caller.variable("SUDO_UID").and_then(OsStr::to_str);
    let mut person = person(host, asked, sudo)?;
    // The caller's HOME counts for the caller itself, and for a user without an entry in the user database.
    let given = caller.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    if !person.switch || person.home.is_none() {
        person.home = given.or(person.home);
    }
    person.home = person.home.as_deref().map(real_home).transpose()?;
    Ok(person)
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
