#![forbid(unsafe_code)]
//! `keyblind doctor`: what this host offers, what that means for a run, and a run that tries it.
//!
//! `layers` and `machine` look at the host, `promises` reads the plan that a run would have, `selftest` runs one.
//! Nothing here decides what is enforced: the plan does, and the self-test says whether it was.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::guard::AddressPrograms;
use crate::host::{Host, Person, PersonError};
use crate::plan::{self, Plan, PlanError, Request};
use crate::policy::{self, Loaded, Mode};
use crate::registrar::client::consult;
use crate::run::{RunError, own_files, planned, whom};
use crate::trial::{Machine, Place, random_word, unused_uid};

mod inside;
mod layers;
mod promises;
mod report;
mod screen;
mod selftest;
mod wire;

pub use inside::inside;
pub use report::{Layer, Promise, Report, State};

use report::Policy;
use selftest::SelfTest;

/// What is to be examined: the run that these options would start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--policy`
    pub policy: Option<PathBuf>,
    /// `--user`
    pub user: Option<String>,
}

/// Examines this host. Whatever cannot be found out stands in the report.
pub fn examine(options: &Options) -> Report {
    let mut probed = Host::probe();
    drop(consult(&mut probed));
    let namespaces = layers::try_namespaces(&probed);
    // Where the knobs allow namespaces and the kernel refuses them, a run is planned without.
    let host = match &namespaces {
        Err(why) if probed.user_namespace.is_available() => plan::without_namespaces(&probed, why),
        _ => probed,
    };
    let host = match host.address_programs.is_available().then(|| AddressPrograms::load(&[], true)) {
        Some(Err(why)) => plan::without_address_programs(&host, &why.to_string()),
        _ => host,
    };
    let machine = Machine::look(&host);
    let variable = |name: &str| env::var_os(name);
    let loaded =
        policy::load(&policy::Sources { option: options.policy.clone(), mode: None, variable: &variable });
    let mut report = Report {
        machine,
        policy: None,
        runs_as: None,
        stand_in: false,
        fell_back: false,
        tier: None,
        layers: Vec::new(),
        promises: Vec::new(),
        self_test: SelfTest::default(),
        refused: None,
        recording_only: None,
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            report.layers = layers::examine(&host, &namespaces, None, None);
            report.refused = Some(error.to_string());
            return report;
        }
    };
    report.policy = Some(Policy { source: loaded.source.to_string(), generation: loaded.generation.clone() });
    if loaded.policy.mode.value == Mode::Audit {
        report.recording_only = Some(loaded.policy.mode.origin.to_string());
    }
    let mut user = options.user.clone();
    let person = match whom(user.as_deref(), &loaded, &host, &variable) {
        Err(RunError::Person(PersonError::Nobody)) => {
            // What root may do here is still worth knowing; that nobody is named stays the verdict.
            report.refused = Some(PersonError::Nobody.to_string());
            user = unused_uid().map(|uid| uid.to_string());
            report.stand_in = user.is_some();
            whom(user.as_deref(), &loaded, &host, &variable)
        }
        other => other,
    };
    match person {
        Ok(person) => {
            report.runs_as = Some(person.clone());
            report.layers = layers::examine(&host, &namespaces, Some(&loaded.policy), Some(&person));
            let options = Options { user, ..options.clone() };
            with_person(&mut report, &loaded, &host, &person, &options);
        }
        Err(error) => {
            report.layers = layers::examine(&host, &namespaces, Some(&loaded.policy), None);
            report.refused = Some(error.to_string());
        }
    }
    report
}

fn with_person(report: &mut Report, loaded: &Loaded, host: &Host, person: &Person, options: &Options) {
    let mut tried = try_plan(loaded, host, person, options);
    if let Ok((Some(plan), test)) = &tried
        && test.tier().is_some_and(|tier| tier != plan.tier)
    {
        // The host refused what it had seemed to offer, so runs go on with less; less is what has to be tried.
        report.fell_back = true;
        let host = plan::without_namespaces(host, "refused when it was tried");
        tried = try_plan(loaded, &host, person, options);
    }
    match tried {
        Ok((plan, test)) => {
            report.self_test = test;
            report.tier = plan.as_ref().map(|plan| plan.tier);
            report.promises =
                plan.map_or(Vec::new(), |plan| promises::of(&loaded.policy, &plan, host, person));
        }
        Err(error) => report.refused = Some(error.to_string()),
    }
}

/// Plans a run, and runs the self-test by that plan. There is no plan where there is no place for a project.
fn try_plan(
    loaded: &Loaded,
    host: &Host,
    person: &Person,
    options: &Options,
) -> Result<(Option<Plan>, SelfTest), PlanError> {
    let owner = person.switch.then(|| (person.uid.as_raw(), person.gid.as_raw()));
    let made = Place::new("doctor", owner).and_then(|mut place| Ok((place.directory("project")?, place)));
    let (project, mut place) = match made {
        Ok(made) => made,
        Err(error) => return Ok((None, SelfTest::not_run(error.to_string()))),
    };
    let plan = would_be(loaded, host, person, project)?;
    let circumstances = selftest::Circumstances { loaded, person, options, plan: &plan };
    let test = selftest::run(&mut place, &circumstances);
    Ok((Some(plan), test))
}

/// The plan of a run in `project`.
fn would_be(loaded: &Loaded, host: &Host, person: &Person, project: PathBuf) -> Result<Plan, PlanError> {
    let name = random_word(8).unwrap_or_default();
    let journal = keyblind_events::Place::standard(host.uid.as_raw(), |name| env::var_os(name));
    let request = Request {
        command: vec![OsString::from("true")],
        project,
        write: Vec::new(),
        // Without a place for its journal no run starts; the self-test says so.
        own: journal.map_or(Vec::new(), |journal| own_files(&journal.file(), loaded)),
        mode: None,
        network: None,
        timeout: None,
        scratch: env::temp_dir().join(format!("keyblind-doctor-{name}")),
    };
    planned(loaded, host, person, &request).map(|(_, plan)| plan)
}
