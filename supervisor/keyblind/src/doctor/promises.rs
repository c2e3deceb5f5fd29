//! What a run here is held to, read off its plan.

use super::layers::dangerous;
use super::report::Promise;
use crate::host::{Host, Person};
use crate::plan::{Coverage, Plan, State, is_on};
use crate::policy::{Layer, Policy, Tier};

/// Every promise of a run, held or not.
pub(super) fn of(policy: &Policy, plan: &Plan, host: &Host, person: &Person) -> Vec<Promise> {
    let mut promises = vec![
        others(plan, host),
        held(
            "own environ",
            if is_on(plan, Layer::BpfLsm) {
                "EACCES, and holds what [variables] lets through and nothing else"
            } else {
                "readable, but holds what [variables] lets through and nothing else"
            },
        ),
        files(plan, host),
        guarded(plan),
        output(policy),
        sockets(plan),
        abstract_sockets(plan),
        supplementary_groups(host, person),
        killed(plan),
    ];
    promises.extend(denied_addresses(policy, plan));
    promises.extend(missing(plan));
    promises.push(recorded(plan));
    promises.push(audit(plan));
    promises
}

fn held(what: &str, note: impl Into<String>) -> Promise {
    Promise { what: what.to_owned(), held: true, note: note.into() }
}

fn not_held(what: &str, note: impl Into<String>) -> Promise {
    Promise { what: what.to_owned(), held: false, note: note.into() }
}

fn has_namespace(plan: &Plan, flag: libc::c_int) -> bool {
    plan.namespaces & u64::from(flag.unsigned_abs()) != 0
}

/// Why a layer is off in this plan.
fn off(plan: &Plan, layer: Layer) -> String {
    let found = plan.layers.iter().find(|state| state.layer == layer);
    match found.map(|found| &found.state) {
        Some(State::Off { why }) => why.clone(),
        _ => format!("{} is off", layer.name()),
    }
}

fn others(plan: &Plan, host: &Host) -> Promise {
    const WHAT: &str = "environ and memory of others";
    if has_namespace(plan, libc::CLONE_NEWPID) {
        held(WHAT, "own PID namespace: they are not there")
    } else if host.landlock_abi > 0 {
        held(WHAT, "Landlock domain: EACCES; their command lines can be read")
    } else {
        not_held(WHAT, "neither a PID namespace nor Landlock")
    }
}

fn files(plan: &Plan, host: &Host) -> Promise {
    const WHAT: &str = "files outside the run's tree";
    if !plan.mounts.is_empty() {
        held(WHAT, "absent, by whatever name or link")
    } else if host.landlock_abi > 0 {
        held(WHAT, "Landlock domain: EACCES")
    } else {
        not_held(WHAT, "neither a tree of its own nor Landlock")
    }
}

fn guarded(plan: &Plan) -> Promise {
    let all = plan.tripwires.len();
    let covered = plan.tripwires.iter().filter(|tripwire| tripwire.coverage == Coverage::Covered).count();
    let note = match (all, plan.mounts.is_empty()) {
        (0, _) => "none of them is on this host".to_owned(),
        (_, true) => format!("{all} on this host, none in a tree that the run is granted"),
        (_, false) => {
            format!("{all} on this host: {} absent, {covered} covered by an empty object", all - covered)
        }
    };
    held("guarded paths", note)
}

fn output(policy: &Policy) -> Promise {
    let shapes = if policy.redact.rules.is_empty() { "no shapes" } else { "shapes" };
    held("output", format!("redacted: dropped secret variables and {shapes}"))
}

fn sockets(plan: &Plan) -> Promise {
    const WHAT: &str = "sockets of the host's services";
    if plan.mounts.is_empty() {
        not_held(
            WHAT,
            "without mounts they are where they were, and Landlock has no rule for connecting to them",
        )
    } else {
        held(WHAT, "/run is empty")
    }
}

fn abstract_sockets(plan: &Plan) -> Promise {
    const WHAT: &str = "abstract sockets of the host";
    if is_on(plan, Layer::LandlockScopes) {
        held(WHAT, "Landlock scope")
    } else if has_namespace(plan, libc::CLONE_NEWNET) {
        held(WHAT, "own network namespace")
    } else {
        not_held(WHAT, off(plan, Layer::LandlockScopes))
    }
}

fn supplementary_groups(host: &Host, person: &Person) -> Promise {
    const WHAT: &str = "supplementary groups";
    let others = host.groups.iter().filter(|group| **group != host.gid).count();
    let dangerous = dangerous(host);
    if person.switch {
        held(WHAT, "dropped")
    } else if others == 0 {
        held(WHAT, "the caller has none")
    } else if dangerous.is_empty() {
        not_held(WHAT, format!("the caller's {others} stay: only root can drop them"))
    } else {
        not_held(
            WHAT,
            format!("{} of {others} open the host, and only root can drop them", dangerous.join(", ")),
        )
    }
}

fn killed(plan: &Plan) -> Promise {
    const WHAT: &str = "killed supervisor";
    if has_namespace(plan, libc::CLONE_NEWPID) {
        held(WHAT, "the run ends with its PID namespace")
    } else if is_on(plan, Layer::Cgroup) {
        held(WHAT, "the run's cgroup is killed")
    } else if is_on(plan, Layer::LandlockScopes) {
        held(WHAT, "the reaper ends the run, and a Landlock scope keeps signals of the run from it")
    } else {
        not_held(WHAT, "the reaper ends the run, but nothing keeps the run from killing the reaper first")
    }
}

/// Where they are not refused, the plan says so itself.
fn denied_addresses(policy: &Policy, plan: &Plan) -> Option<Promise> {
    let how = if plan.denied.is_empty() { "own network namespace" } else { "programs at the run's cgroup" };
    (!policy.network.deny.is_empty() && is_on(plan, Layer::NetworkLimits))
        .then(|| held("cloud metadata and denied addresses", how))
}

/// What the plan says is not enforced; an object that it names more than once has one row.
fn missing(plan: &Plan) -> Vec<Promise> {
    let mut rows: Vec<(Promise, usize)> = Vec::new();
    for missing in &plan.not_enforced {
        match rows.iter_mut().find(|(row, _)| row.what == missing.what) {
            Some((_, more)) => *more += 1,
            None => rows.push((not_held(&missing.what, missing.why.clone()), 0)),
        }
    }
    let noted = rows.into_iter().map(|(row, more)| match more {
        0 => row,
        _ => Promise { note: format!("{} (and {more} more)", row.note), ..row },
    });
    noted.collect()
}

fn recorded(plan: &Plan) -> Promise {
    const WHAT: &str = "each refusal on record";
    match plan.tier {
        Tier::Kernel => not_held(
            WHAT,
            "guarded objects and names are (kernel programs); absence, Landlock and the filter refuse without a word",
        ),
        Tier::Mount => {
            not_held(WHAT, "tripwires are (fanotify); absence and the filter refuse without a word")
        }
        Tier::User | Tier::InPlace => not_held(
            WHAT,
            "the tree, Landlock and the filter refuse without a word; tier mount records tripwires",
        ),
    }
}

fn audit(plan: &Plan) -> Promise {
    const WHAT: &str = "host-wide audit";
    if plan.tier == Tier::Kernel {
        held(WHAT, "slices of [host] are guarded by the host service")
    } else {
        not_held(WHAT, "needs tier kernel")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::host::{Support, survey};
    use crate::plan::{NotEnforced, Request, plan, wanted};
    use crate::policy::{self, Roots};

    /// The default policy, and its plan on a host that is like this one but for `change`.
    fn planned(change: impl FnOnce(&mut Host)) -> (Policy, Plan, Host, Person) {
        let mut host = Host::probe();
        (host.uid, host.landlock_abi, host.groups) = (4242.into(), 7, vec![host.gid]);
        (host.mounts, host.user_namespace, host.cgroup_support) = (missing(), missing(), missing());
        change(&mut host);
        let loaded = policy::load(&policy::Sources { option: None, mode: None, variable: &|_| None });
        let policy = loaded.expect("a policy").policy;
        let home = Some(PathBuf::from("/home/jo"));
        let person = Person { uid: 4242.into(), gid: 4242.into(), name: None, home, switch: false };
        let request = Request {
            command: vec!["true".into()],
            project: "/home/jo/project".into(),
            write: Vec::new(),
            own: Vec::new(),
            mode: None,
            network: None,
            timeout: None,
            scratch: PathBuf::from("/tmp/x"),
        };
        let roots = Roots { project: &request.project, home: person.home.as_deref() };
        let survey = survey(wanted(&policy, &roots, false));
        let plan = plan(&policy, &host, &person, &request, &survey).expect("a plan");
        (policy, plan, host, person)
    }

    fn promises(change: impl FnOnce(&mut Host)) -> Vec<Promise> {
        let (policy, plan, host, person) = planned(change);
        of(&policy, &plan, &host, &person)
    }

    fn missing() -> Support {
        Support::Missing { evidence: "refused".into(), remedy: String::new() }
    }

    fn is_held(promises: &[Promise], what: &str) -> bool {
        promises.iter().find(|promise| promise.what == what).unwrap_or_else(|| panic!("no row {what}")).held
    }

    #[test]
    fn namespaces_hold_what_landlock_alone_does_not() {
        let user = promises(|host| host.user_namespace = Support::Available);
        let in_place = promises(|_| {});
        for what in ["environ and memory of others", "files outside the run's tree", "killed supervisor"] {
            assert!(is_held(&user, what) && is_held(&in_place, what), "{what}");
        }
        assert!(is_held(&user, "sockets of the host's services"));
        assert!(!is_held(&in_place, "sockets of the host's services"));
        assert!(!is_held(&user, "host-wide audit"));
    }

    #[test]
    fn without_scopes_a_run_reaches_abstract_sockets_and_in_place_its_reaper() {
        let old = promises(|host| host.landlock_abi = 2);
        assert!(!is_held(&old, "abstract sockets of the host"));
        assert!(!is_held(&old, "killed supervisor"));
    }

    #[test]
    fn groups_that_stay_are_a_gap() {
        assert!(is_held(&promises(|_| {}), "supplementary groups"));
        assert!(!is_held(&promises(|host| host.groups = vec![1.into(), 2.into()]), "supplementary groups"));
    }

    #[test]
    fn what_the_plan_does_not_enforce_is_not_held() {
        let (policy, mut plan, host, person) = planned(|_| {});
        let missing = |what: &str, why: &str| NotEnforced { what: what.into(), why: why.into() };
        plan.not_enforced =
            vec![missing("a, b", "needs the opener"), missing("c", "at /x"), missing("c", "at /y")];
        let rows = of(&policy, &plan, &host, &person);
        let note =
            |what: &str| rows.iter().find(|row| row.what == what && !row.held).map(|row| row.note.as_str());
        assert_eq!((note("a, b"), note("c")), (Some("needs the opener"), Some("at /x (and 1 more)")));
    }
}
