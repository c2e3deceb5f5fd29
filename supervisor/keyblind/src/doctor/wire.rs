//! The report as a program reads it: the rows of the screen, one JSON object.

use serde_json::{Value, json};

use super::report::Report;
use super::screen::{linkage, probes};
use super::selftest::{Attempt, Target, Trial, Verdict};

impl Report {
    /// One JSON object on one line.
    pub fn json(&self) -> String {
        let machine = &self.machine;
        let layers = self.layers.iter().map(|layer| {
            json!({
                "layer": layer.name,
                "state": layer.state.name(),
                "evidence": layer.evidence,
                "to_get_it": layer.remedy,
            })
        });
        let promises = self
            .promises
            .iter()
            .map(|promise| json!({ "promise": promise.what, "held": promise.held, "note": promise.note }));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "linkage": linkage(),
            "architecture": std::env::consts::ARCH,
            "probes": probes(),
            "policy": self.policy.as_ref().map(|policy| json!({
                "source": policy.source,
                "generation": policy.generation,
            })),
            "host": {
                "distribution": machine.distribution,
                "kernel": machine.kernel,
                "user": machine.user,
                "container": !machine.container.is_empty(),
                "evidence": machine.container.iter().chain(&machine.traces).collect::<Vec<_>>(),
            },
            "runs_as": self.runs_as.as_ref().map(|person| json!({
                "stand_in": self.stand_in,
                "uid": person.uid.as_raw(),
                "name": person.name,
                "home": person.home.as_ref().map(|home| home.display().to_string()),
            })),
            "fell_back": self.fell_back,
            "tier": self.tier.map(|tier| tier.name()),
            "layers": layers.collect::<Vec<_>>(),
            "promises": promises.collect::<Vec<_>>(),
            "self_test": {
                "verdict": match self.self_test.verdict() {
                    Verdict::Held => "held",
                    Verdict::Leaked => "leaked",
                    Verdict::NotRun(_) => "not run",
                },
                "why": match self.self_test.verdict() {
                    Verdict::NotRun(why) => Value::String(why),
                    _ => Value::Null,
                },
                "runs": self.self_test.trials.iter().map(trial).collect::<Vec<_>>(),
            },
            "result": self.result(),
            "status": self.status(),
        })
        .to_string()
    }
}

fn trial(trial: &Trial) -> Value {
    json!({
        "what": trial.what,
        "tier": trial.tier.map(|tier| tier.name()),
        "attempts": trial.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "confined": trial.confined,
        "events": { "seen": trial.events.0, "expected": trial.events.1 },
        "canary_bytes": trial.canary_bytes,
        "milliseconds": u64::try_from(trial.duration.as_millis()).unwrap_or(u64::MAX),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "path": attempt.path.display().to_string(),
        "holds": match attempt.kind {
            Target::GuardedCanary | Target::Canary => "a canary",
            Target::Guarded => "a secret of this host",
        },
        "errno": attempt.outcome.err().map(|errno| errno.name().unwrap_or_else(|| errno.0.to_string())),
        "bytes": attempt.outcome.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::tests::report;

    #[test]
    fn the_object_has_the_rows_of_the_screen() {
        let object: Value = serde_json::from_str(&report().json()).expect("JSON");
        assert_eq!(object["tier"], "user");
        assert_eq!(object["host"]["container"], false);
        assert_eq!(object["promises"][0], json!({ "promise": "files", "held": true, "note": "absent" }));
        assert_eq!(object["self_test"]["runs"][0]["attempts"][0]["errno"], "EACCES");
        assert_eq!((&object["self_test"]["verdict"], &object["status"]), (&json!("held"), &json!(0)));
    }
}
