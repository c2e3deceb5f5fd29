//! `policies/seccomp.toml` → `*.bpf`, through libseccomp.
//!
//! Each variant is two programs, installed one after the other: `refuse` allows all but a few argument values,
//! `only` allows what is listed. libseccomp cannot say "allow, but not with this value" beside "refuse what is
//! not listed" in one program; the kernel takes the stricter answer of the two.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::Path;

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterAttr, ScmpFilterContext, ScmpSyscall,
};
use serde::Deserialize;

const TABLE: &str = "../../policies/seccomp.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: u32,
    default_action: String,
    group: Vec<Group>,
    refuse: Vec<Refuse>,
    only: Vec<Only>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    id: String,
    action: String,
    in_place: Option<String>,
    debug: Option<String>,
    reason: String,
    calls: BTreeMap<String, i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    call: BTreeMap<String, i32>,
    arg: u32,
    mask: Option<u64>,
    #[serde(default)]
    values: Vec<u64>,
    #[serde(default)]
    bits: Vec<u64>,
    action: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    call: BTreeMap<String, i32>,
    arg: u32,
    mask: u64,
    values: Vec<u64>,
    in_place: Option<Vec<u64>>,
    refused: Option<Refused>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    action: String,
    below: u64,
    step: Option<u64>,
}

/// Where the run lives decides two groups: without an IPC namespace the System V tables are the host's, and
/// policy may let processes of one run debug each other.
struct Variant {
    name: &'static str,
    in_place: bool,
    debug: bool,
}

const VARIANTS: [Variant; 4] = [
    Variant { name: "namespaces", in_place: false, debug: false },
    Variant { name: "namespaces-debug", in_place: false, debug: true },
    Variant { name: "in-place", in_place: true, debug: false },
    Variant { name: "in-place-debug", in_place: true, debug: true },
];

pub(crate) fn build(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLE}");
    println!("cargo::rerun-if-changed=build/seccomp.rs");
    let text = std::fs::read_to_string(TABLE).map_err(|error| format!("{TABLE}: {error}"))?;
    let table: Table = toml::from_str(&text).map_err(|error| format!("{TABLE}: {error}"))?;
    if table.version != 1 {
        return Err(format!("{TABLE}: version {} is not 1", table.version).into());
    }
    check(&table)?;
    for variant in &VARIANTS {
        export(&refuse_program(&table)?, &out.join(format!("{}.refuse.bpf", variant.name)))?;
        export(&only_program(&table, variant)?, &out.join(format!("{}.only.bpf", variant.name)))?;
    }
    Ok(())
}

/// A number may stand only once, and every entry says why.
fn check(table: &Table) -> Result<(), Box<dyn Error>> {
    let mut seen = BTreeMap::new();
    let groups = table.group.iter().map(|group| (&group.id, &group.reason, &group.calls));
    let unnamed = String::from("rule");
    let refusals = table.refuse.iter().map(|rule| (&unnamed, &rule.reason, &rule.call));
    let only = table.only.iter().map(|rule| (&unnamed, &rule.reason, &rule.call));
    for (id, reason, calls) in groups.chain(refusals).chain(only) {
        if reason.is_empty() {
            return Err(format!("{TABLE}: {id} has no reason").into());
        }
        for (name, number) in calls {
            if let Some(other) = seen.insert(number, name) {
                return Err(format!("{TABLE}: {name} and {other} are both {number}").into());
            }
        }
    }
    Ok(())
}

fn refuse_program(table: &Table) -> Result<ScmpFilterContext, Box<dyn Error>> {
    let mut filter = new_filter(ScmpAction::Allow)?;
    for rule in &table.refuse {
        let action = action(&rule.action)?;
        let compared = rule.values.iter().map(|value| (rule.mask.unwrap_or(u64::MAX), *value));
        for (mask, value) in compared.chain(rule.bits.iter().map(|bit| (*bit, *bit))) {
            add(&mut filter, action, &rule.call, &[masked(rule.arg, mask, value)])?;
        }
    }
    Ok(filter)
}

fn only_program(table: &Table, variant: &Variant) -> Result<ScmpFilterContext, Box<dyn Error>> {
    let default = action(&table.default_action)?;
    let mut filter = new_filter(default)?;
    for group in &table.group {
        let mut answer = &group.action;
        if let (true, Some(other)) = (variant.in_place, &group.in_place) {
            answer = other;
        }
        if let (true, Some(other)) = (variant.debug, &group.debug) {
            answer = other;
        }
        add(&mut filter, action(answer)?, &group.calls, &[])?;
    }
    for rule in &table.refuse {
        add(&mut filter, ScmpAction::Allow, &rule.call, &[])?;
    }
    for rule in &table.only {
        let values = rule.in_place.as_ref().filter(|_| variant.in_place).unwrap_or(&rule.values);
        for value in values {
            add(&mut filter, ScmpAction::Allow, &rule.call, &[masked(rule.arg, rule.mask, *value)])?;
        }
        if let Some(refused) = &rule.refused {
            let step = usize::try_from(refused.step.unwrap_or(1))?;
            for value in (0..refused.below).step_by(step).filter(|value| !values.contains(value)) {
                let answer = action(&refused.action)?;
                add(&mut filter, answer, &rule.call, &[masked(rule.arg, rule.mask, value)])?;
            }
        }
    }
    Ok(filter)
}

fn new_filter(default: ScmpAction) -> Result<ScmpFilterContext, Box<dyn Error>> {
    let mut filter = ScmpFilterContext::new(default)?;
    if !filter.is_arch_present(ScmpArch::X8664)? {
        return Err("libseccomp does not build for x86_64 here".into());
    }
    filter.set_act_badarch(ScmpAction::KillProcess)?;
    // 2 = a binary tree over the call numbers; without it the last number of the table costs 350 comparisons.
    filter.set_filter_attr(ScmpFilterAttr::CtlOptimize, 2)?;
    Ok(filter)
}

fn add(
    filter: &mut ScmpFilterContext,
    answer: ScmpAction,
    calls: &BTreeMap<String, i32>,
    compare: &[ScmpArgCompare],
) -> Result<(), Box<dyn Error>> {
    // A rule that says what the default says is refused by libseccomp and changes nothing.
    if answer == filter.get_act_default()? {
        return Ok(());
    }
    for (name, number) in calls {
        filter
            .add_rule_conditional_exact(answer, ScmpSyscall::from(*number), compare)
            .map_err(|error| format!("{TABLE}: {name} = {number}: {error}"))?;
    }
    Ok(())
}

fn masked(arg: u32, mask: u64, value: u64) -> ScmpArgCompare {
    ScmpArgCompare::new(arg, ScmpCompareOp::MaskedEqual(mask), value)
}

fn action(name: &str) -> Result<ScmpAction, Box<dyn Error>> {
    Ok(match name {
        "allow" => ScmpAction::Allow,
        "EPERM" => ScmpAction::Errno(1),
        "ENOSYS" => ScmpAction::Errno(38),
        "EAFNOSUPPORT" => ScmpAction::Errno(97),
        other => return Err(format!("{TABLE}: unknown action {other:?}").into()),
    })
}

fn export(filter: &ScmpFilterContext, path: &Path) -> Result<(), Box<dyn Error>> {
    Ok(filter.export_bpf(File::create(path)?)?)
}
