//! `keyblind run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use keyblind_events::{CallId, Label, SessionId};

use super::out;
use crate::policy::{Mode, NetworkMode};
use crate::run::{EventsTo, Options, PtyMode, run};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Policy file, where /etc/keyblind/policy.toml does not forbid another
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Refuse, or record and let pass
    #[arg(long, value_enum)]
    mode: Option<ModeWord>,
    /// Environment of the run (development, production, …)
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Session that this run belongs to
    #[arg(long, value_name = "ID", value_parser = str::parse::<SessionId>)]
    session: Option<SessionId>,
    /// The caller's id for this call
    #[arg(long, value_name = "ID", value_parser = str::parse::<CallId>)]
    call_id: Option<CallId>,
    /// Label in every event of the run
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    labels: Vec<Label>,
    /// Who runs it, when root starts it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Working directory, which is the run's project
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Variable to keep besides those of policy
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,
    /// Variable whose value is redacted wherever it turns up
    #[arg(long, value_name = "NAME")]
    redact_env: Vec<String>,
    /// File or directory that the run may change besides those of policy
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// Network of the run
    #[arg(long, value_enum)]
    net: Option<NetWord>,
    /// Whether the command gets a terminal; auto: if stdin and stdout are one
    #[arg(long, value_enum, default_value = "auto")]
    pty: PtyWord,
    /// End the run after this long: 90, 90s, 15m, 2h, 250ms
    #[arg(long, value_name = "DUR", value_parser = duration)]
    timeout: Option<Duration>,
    /// Write events there as well
    #[arg(long, value_name = "FILE|fd:N", value_parser = events_to)]
    events: Option<EventsTo>,
    /// End with a line of JSON on stderr
    #[arg(long)]
    json: bool,
    /// Print the plan and start nothing
    #[arg(long)]
    dry_run: bool,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeWord {
    Enforce,
    Audit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NetWord {
    Host,
    Loopback,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PtyWord {
    Auto,
    Always,
    Never,
}

pub(crate) fn main(args: Args) -> ExitCode {
    let options = Options {
        policy: args.policy,
        mode: args.mode.map(|word| match word {
            ModeWord::Enforce => Mode::Enforce,
            ModeWord::Audit => Mode::Audit,
        }),
        environment: args.environment,
        session: args.session,
        call_id: args.call_id,
        labels: args.labels,
        user: args.user,
        cwd: args.cwd,
        env: args.env,
        redact_env: args.redact_env,
        write: args.write,
        network: args.net.map(|word| match word {
            NetWord::Host => NetworkMode::Host,
            NetWord::Loopback => NetworkMode::Loopback,
            NetWord::None => NetworkMode::None,
        }),
        pty: match args.pty {
            PtyWord::Auto => PtyMode::Auto,
            PtyWord::Always => PtyMode::Always,
            PtyWord::Never => PtyMode::Never,
        },
        timeout: args.timeout,
        events: args.events,
        json: args.json,
        dry_run: args.dry_run,
        command: args.command,
    };
    match run(&options) {
        Ok(outcome) => {
            if let Some(plan) = outcome.plan {
                return out::page(plan.trim_end());
            }
            for note in outcome.notes {
                out::note(&note);
            }
            ExitCode::from(outcome.status)
        }
        Err(error) => out::fail(error.status(), error),
    }
}

fn label(text: &str) -> Result<Label, String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Label::new(key, value).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let bad = || "expected a number and a unit: 250ms, 90s, 15m, 2h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_not_a_number| bad())?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    match number.checked_mul(milliseconds) {
        Some(0) | None => Err("the time limit must be more than nothing and less than for ever".to_owned()),
        Some(total) => Ok(Duration::from_millis(total)),
    }
}

fn events_to(text: &str) -> Result<EventsTo, String> {
    match text.strip_prefix("fd:") {
        None => Ok(EventsTo::File(text.into())),
        Some(number) => match number.parse() {
            Ok(number) if number > 2 => Ok(EventsTo::Descriptor(number)),
            Ok(_) => Err("descriptors 0 to 2 carry the command's streams; open another".to_owned()),
            Err(_) => Err("expected fd: and a number, as in fd:3".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in
            [("250ms", 250), ("90", 90_000), ("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "1.5s", "0", "99999999999999999999", "9999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn events_go_to_a_file_or_a_descriptor_of_the_callers() {
        assert_eq!(events_to("fd:3"), Ok(EventsTo::Descriptor(3)));
        assert_eq!(events_to("/x/fd:3"), Ok(EventsTo::File("/x/fd:3".into())));
        assert!(events_to("fd:1").is_err());
        assert!(events_to("fd:x").is_err());
    }
}
