//! Plans of the built-in policy for hosts that differ.

use std::path::Path;

use nix::unistd::{Gid, Uid};

use super::*;
use crate::host::{Found, Kind};
use crate::policy::BuiltIn;

const HOME: &str = "/home/jo";
const PROJECT: &str = "/home/jo/src/app";

fn host(uid: u32) -> Host {
    Host {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(uid),
        groups: Vec::new(),
        initial_user_namespace: true,
        mounts: if uid == 0 { Support::Available } else { missing("no CAP_SYS_ADMIN") },
        user_namespace: Support::Available,
        switch_user: uid == 0,
        landlock_abi: 7,
        cgroup: Some("/sys/fs/cgroup".into()),
        cgroup_support: if uid == 0 { Support::Available } else { missing("owned by root") },
        address_programs: if uid == 0 { Support::Available } else { missing("only root can") },
        kernel_programs: missing("no keyblind host"),
        scopes: missing("no keyblind host"),
        scope_addresses: missing("no keyblind host"),
    }
}

fn missing(evidence: &str) -> Support {
    Support::Missing { evidence: evidence.to_owned(), remedy: "a remedy".to_owned() }
}

fn person(host: &Host) -> Person {
    let switch = host.uid.is_root();
    let uid = if switch { Uid::from_raw(1000) } else { host.uid };
    Person { uid, gid: Gid::from_raw(1000), name: Some("jo".into()), home: Some(HOME.into()), switch }
}

fn request(project: &str) -> Request {
    Request {
        command: vec!["true".into()],
        project: project.into(),
        write: Vec::new(),
        own: vec!["/home/jo/.local/state/keyblind".into()],
        mode: None,
        network: None,
        timeout: None,
        scratch: "/tmp/keyblind-r-test".into(),
    }
}

fn found(path: &str, kind: Kind) -> Found {
    Found { path: path.into(), real: path.into(), links: 1, kind }
}

fn entries() -> Vec<Found> {
    let link = Kind::Link { target: "usr/bin".into(), end: Some(("/usr/bin".into(), true)) };
    vec![
        found("/usr", Kind::Directory),
        found("/etc", Kind::Directory),
        found("/bin", link),
        found("/nix", Kind::Link { target: "gone".into(), end: None }),
        found(PROJECT, Kind::Directory),
        found("/home/jo/.gitconfig", Kind::File),
        found("/home/jo/.cache", Kind::Directory),
        found("/home/jo/.npm", Kind::Other),
        found("/home/jo/.aws/credentials", Kind::File),
        found("/etc/shadow", Kind::File),
        found("/proc/sys", Kind::Directory),
    ]
}

fn planned(host: &Host, request: &Request) -> Result<Plan, PlanError> {
    planned_on(host, request, entries())
}

fn planned_on(host: &Host, request: &Request, entries: Vec<Found>) -> Result<Plan, PlanError> {
    let policy = BuiltIn::Default.policy().expect("the built-in policy");
    plan(&policy, host, &person(host), request, &Survey::with(entries))
}

fn with(policy: &str, host: &Host) -> Result<Plan, PlanError> {
    let source = crate::policy::Source::File(Path::new("/p.toml").into());
    let policy = Policy::parse(policy, &source).expect("a policy");
    plan(&policy, host, &person(host), &request(PROJECT), &Survey::with(entries()))
}

fn tree(plan: &Plan) -> String {
    plan.mounts.iter().map(|mount| format!("{mount:?}\n")).collect()
}

fn not_enforced(plan: &Plan) -> String {
    plan.not_enforced.iter().map(|missing| format!("{missing}\n")).collect()
}

fn has_namespace(plan: &Plan, flag: i32) -> bool {
    plan.namespaces & u64::from(flag.unsigned_abs()) != 0
}

#[test]
fn root_gets_the_mount_tier_and_never_runs_as_root() {
    let plan = planned(&host(0), &request(PROJECT)).expect("a plan");
    assert_eq!(plan.tier, Tier::Mount);
    assert_eq!(plan.identity, Identity::Switch { uid: 1000, gid: 1000 });
    assert!(!has_namespace(&plan, libc::CLONE_NEWUSER));
    assert_eq!(plan.cgroup.as_deref(), Some(Path::new("/sys/fs/cgroup")));
}

#[test]
fn a_user_gets_a_user_namespace_with_ids_mapped_to_themselves() {
    let plan = planned(&host(1000), &request(PROJECT)).expect("a plan");
    assert_eq!(plan.tier, Tier::User);
    assert!(has_namespace(&plan, libc::CLONE_NEWUSER));
    let Identity::Mapped { uid_map, .. } = &plan.identity else { panic!("{:?}", plan.identity) };
    assert_eq!(uid_map.as_c_str(), c"1000 1000 1\n");
    assert_eq!(plan.cgroup, None);
}

#[test]
fn without_namespaces_there_are_no_mounts_and_the_log_names_what_is_missing() {
    let host = without_namespaces(&host(1000), "cannot map ids: EPERM");
    let plan = planned(&host, &request(PROJECT)).expect("a plan");
    assert_eq!((plan.tier, plan.namespaces, plan.mounts.len()), (Tier::InPlace, 0, 0));
    assert_eq!(plan.scratch.as_deref(), Some(Path::new("/tmp/keyblind-r-test")));
    assert!(plan.grants.iter().all(|(path, _)| path != Path::new(HOME) && path != Path::new("/tmp")));
    let missing = not_enforced(&plan);
    assert!(missing.contains("/etc/shadow lies in a granted tree"), "{missing}");
    assert!(missing.contains("cannot map ids: EPERM"), "{missing}");
}

#[test]
fn denied_addresses_are_planned_where_programs_can_be_had_and_named_where_not() {
    let denied = |plan: &Plan| plan.denied.iter().map(|denied| denied.value).collect::<Vec<_>>();
    let plan = planned(&host(0), &request(PROJECT)).expect("a plan");
    assert_eq!(denied(&plan), [NetworkDeny::Metadata]);
    assert!(is_on(&plan, Layer::NetworkLimits) && !not_enforced(&plan).contains("network.deny"));
    let apart = Request { network: Some(NetworkMode::None), ..request(PROJECT) };
    let plan = planned(&host(0), &apart).expect("a plan");
    assert!(
        denied(&plan).is_empty() && is_on(&plan, Layer::NetworkLimits),
        "its own network has no such address"
    );
    let without_cgroup = Host { cgroup_support: missing("no cgroup v2"), ..host(0) };
    for host in [without_address_programs(&host(0), "the kernel said EPERM"), without_cgroup, host(1000)] {
        let plan = planned(&host, &request(PROJECT)).expect("a plan");
        assert!(denied(&plan).is_empty() && !is_on(&plan, Layer::NetworkLimits));
        assert!(not_enforced(&plan).contains("network.deny"), "{}", not_enforced(&plan));
    }
    let required = "version = 1\ntier = { layers = { network_limits = \"require\" } }\n";
    let refused = without_address_programs(&host(0), "the kernel said EPERM");
    let error = with(required, &refused).expect_err("a required layer").to_string();
    assert!(error.contains("/p.toml:2") && error.contains("the kernel said EPERM"), "{error}");
}

#[test]
fn what_is_required_and_missing_refuses() {
    let bare = Host { landlock_abi: 0, ..without_namespaces(&host(1000), "EPERM") };
    let error = planned(&bare, &request(PROJECT)).expect_err("no confinement at all").to_string();
    assert!(error.contains("default.toml:") && error.contains("confinement"), "{error}");
    assert!(error.contains("no Landlock"), "{error}");
    let tier =
        with("version = 1\ntier = { minimum = \"mount\" }\n", &host(1000)).expect_err("too low").to_string();
    assert!(tier.starts_with("/p.toml:2: policy asks for tier mount"), "{tier}");
    assert!(tier.contains("no CAP_SYS_ADMIN; a remedy"), "{tier}");
}

#[test]
fn an_operators_key_without_machinery_refuses_and_the_built_in_one_is_named() {
    let own = "version = 1\nevents = { on_denied = \"stop-run\" }\n";
    let error = with(own, &host(1000)).expect_err("not built yet").to_string();
    assert!(error.starts_with("not built yet: events.on_denied = \"stop-run\" (/p.toml:2)"), "{error}");
    let plan = planned(&host(1000), &request(PROJECT)).expect("a plan");
    assert!(not_enforced(&plan).contains("project.dotenv"));
}

#[test]
fn a_project_that_holds_everything_is_refused() {
    for project in [HOME, "/home", "/", "/etc", "/tmp", "/proc/1", "/dev", "/home/jo/.local"] {
        let error = planned(&host(1000), &request(project)).expect_err(project);
        assert!(matches!(error, PlanError::TooWide { .. }), "{project}: {error}");
    }
    for project in [PROJECT, "/srv/app", "/tmp/x", "/dev/shm/x"] {
        planned(&host(1000), &request(project)).expect(project);
    }
}

/// A host whose service has kernel programs.
fn served(uid: u32) -> Host {
    Host { kernel_programs: Support::Available, scopes: Support::Available, ..host(uid) }
}

#[test]
fn with_a_service_that_has_programs_the_tier_is_kernel_on_what_the_caller_can_make() {
    for (uid, base) in [(0, Tier::Mount), (1000, Tier::User)] {
        let plan = planned(&served(uid), &request(PROJECT)).expect("a plan");
        assert_eq!((plan.tier, plan.base, plan.scope, plan.cgroup), (Tier::Kernel, base, true, None));
        assert!(
            tree(&Plan { ..planned(&served(uid), &request(PROJECT)).expect("a plan") })
                .contains("File { at: \"/home/jo/.aws/credentials\", mode: 292,")
        );
    }
    let in_place = planned(&without_namespaces(&served(1000), "EPERM"), &request(PROJECT)).expect("a plan");
    assert_eq!((in_place.tier, in_place.scope), (Tier::InPlace, true), "a PID namespace is missing");
    assert!(is_on(&in_place, Layer::BpfLsm));
    // Without programs the service is asked for a cgroup only by who can make none.
    let no_programs = |uid| Host { kernel_programs: missing("EPERM"), ..served(uid) };
    let plan = planned(&no_programs(0), &request(PROJECT)).expect("a plan");
    assert_eq!((plan.tier, plan.scope, plan.cgroup.is_some()), (Tier::Mount, false, true));
    let plan = planned(&no_programs(1000), &request(PROJECT)).expect("a plan");
    assert_eq!((plan.tier, plan.scope), (Tier::User, true));
    assert!(is_on(&plan, Layer::Cgroup));
}

#[test]
fn programs_guard_what_the_run_can_see_and_nothing_else() {
    let mut entries = entries();
    for path in [PROJECT.to_owned(), format!("{PROJECT}/.git"), format!("{PROJECT}/.git/hooks")] {
        entries.retain(|entry| entry.path != Path::new(&path));
        entries.push(found(&path, Kind::Directory));
    }
    let plan = planned_on(&served(1000), &request(PROJECT), entries).expect("a plan");
    let guard = |watched: &Watched| {
        BuiltIn::Default.policy().expect("a policy").guards[watched.guard].id.value.clone()
    };
    let of = |id: &str| -> Vec<Object> {
        let own = plan.watched.iter().filter(|watched| guard(watched) == id);
        own.map(|watched| watched.object.clone()).collect()
    };
    let dotenv = Object::Named { below: PROJECT.into(), name: ".env".into() };
    assert!(of("project.dotenv").contains(&dotenv), "{:?}", of("project.dotenv"));
    let hooks = of("git.exec");
    assert_eq!(
        hooks,
        [
            Object::There(format!("{PROJECT}/.git/hooks").into()),
            Object::Holds(format!("{PROJECT}/.git").into()),
            Object::Named { below: format!("{PROJECT}/.git").into(), name: "hooks".into() },
        ]
    );
    // The home is the run's own, and what is read-only needs no guard on writing.
    assert!(of("aws.credentials").is_empty() && of("git.user-config").is_empty());
    let gaps = not_enforced(&plan);
    assert!(gaps.contains("project.private-keys") && gaps.contains("judged by their content"), "{gaps}");
    assert!(!gaps.contains("write guards"), "{gaps}");
}

/// The step that covers `path`.
fn cover(plan: &Plan, path: &str) -> String {
    let number = plan.tripwires.iter().position(|wire| wire.path == Path::new(path)).expect("a tripwire");
    format!("Cover {{ tripwire: \"/dev/.keyblind/empty.{number}\", at: \"{path}\" }}")
}

#[test]
fn the_home_is_private_with_tripwires_where_the_host_has_secrets() {
    let plan = planned(&host(1000), &request(PROJECT)).expect("a plan");
    let tree = tree(&plan);
    let at = |needle: &str| tree.find(needle).unwrap_or_else(|| panic!("{needle} is not in\n{tree}"));
    // What lies inside another mount comes after it.
    assert!(at("Tmpfs { at: \"/home/jo\"") < at("Bind { from: \"/home/jo/src/app\""));
    assert!(at("Tmpfs { at: \"/home/jo\"") < at("File { at: \"/home/jo/.aws/credentials\", mode: 0,"));
    assert!(at("Bind { from: \"/etc\"") < at(&cover(&plan, "/etc/shadow")));
    assert!(tree.contains("Link { target: \"usr/bin\", at: \"/bin\" }"));
    assert!(tree.contains("Bind { from: \"/etc\", at: \"/etc\", writable: false }"));
    assert!(tree.contains("at: \"/home/jo/.cache\"") && tree.contains("Overlay"), "{tree}");
    assert!(!tree.contains("/nix"), "a dangling link shows nothing");
    assert!(!tree.contains("/home/jo/.npm"), "what is neither file nor directory is no cache");
    let wires: Vec<_> = plan.tripwires.iter().map(|wire| (wire.guard.as_str(), wire.coverage)).collect();
    assert!(wires.contains(&("aws.credentials", Coverage::Absent)), "{wires:?}");
    assert!(wires.contains(&("host.shadow", Coverage::Covered)), "{wires:?}");
}

#[test]
fn a_project_in_var_tmp_has_a_private_directory_around_it() {
    let mut entries = entries();
    entries.push(found("/var/tmp/app", Kind::Directory));
    let plan = planned_on(&host(1000), &request("/var/tmp/app"), entries).expect("a plan");
    let tree = tree(&plan);
    assert!(tree.contains("Tmpfs { at: \"/var/tmp\""), "{tree}");
    assert!(!tree.contains("Link { target: \"../tmp\""), "{tree}");
}

#[test]
fn a_guarded_file_is_covered_where_a_link_leads() {
    let mut entries = entries();
    entries.retain(|entry| entry.path != Path::new("/home/jo/.aws/credentials"));
    let end = format!("{PROJECT}/dot/credentials");
    entries.push(Found {
        path: "/home/jo/.aws/credentials".into(),
        real: end.clone().into(),
        links: 2,
        kind: Kind::Link { target: end.clone().into(), end: Some((end.clone().into(), false)) },
    });
    let plan = planned_on(&host(1000), &request(PROJECT), entries).expect("a plan");
    let tree = tree(&plan);
    assert!(tree.contains(&cover(&plan, &end)), "{tree}");
    assert!(tree.contains("File { at: \"/home/jo/.aws/credentials\""), "{tree}");
    assert!(not_enforced(&plan).contains("2 names"), "{}", not_enforced(&plan));
}

#[test]
fn marked_tripwires_can_be_opened_as_far_as_the_mark() {
    let plan = planned(&host(0), &request(PROJECT)).expect("a plan");
    let tree = tree(&plan);
    assert!(tree.contains("File { at: \"/home/jo/.aws/credentials\", mode: 292,"), "{tree}");
}

#[test]
fn the_domain_lets_a_run_write_only_where_policy_says() {
    let plan = planned(&host(1000), &request(PROJECT)).expect("a plan");
    let rights =
        |path: &str| plan.grants.iter().find(|(have, _)| have == Path::new(path)).map(|(_, rights)| *rights);
    // linux/landlock.h: execute 1, write a file 2, read a file 4, list 8, make a device 64 and 2048.
    assert_eq!(rights("/usr"), Some(0b1101));
    assert_eq!(rights("/"), Some(0b1000));
    let project = rights(PROJECT).expect("granted");
    assert!(project & 0b1111 == 0b1111 && project & (64 | 2048) == 0);
    let gitconfig = rights("/home/jo/.gitconfig").expect("granted");
    assert_eq!(gitconfig, 0b0101, "a file has no right of a directory");
}

#[test]
fn a_network_of_its_own_limits_addresses() {
    let own = Request { network: Some(NetworkMode::None), ..request(PROJECT) };
    let plan = planned(&host(1000), &own).expect("a plan");
    assert!(has_namespace(&plan, libc::CLONE_NEWNET));
    assert!(is_on(&plan, Layer::NetworkLimits));
    let error =
        planned(&without_namespaces(&host(1000), "EPERM"), &own).expect_err("asked for, not to be had");
    assert!(matches!(error, PlanError::NoNetworkNamespace { .. }), "{error}");
}

#[test]
fn debugging_changes_the_filter() {
    let plain = planned(&host(1000), &request(PROJECT)).expect("a plan");
    let debug = with("version = 1\nprocfs = { debug = true }\n", &host(1000)).expect("a plan");
    assert_ne!(plain.filters, debug.filters);
}
