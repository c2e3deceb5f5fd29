//! `keyblind policy`: show, check and explain policy, and print its schema.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::out;
use crate::policy::{self, BuiltIn, HOST, LoadError, Loaded, Query, Roots, Sources, Verdict, explain};

/// The answer is no.
const NO: u8 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the policy that a run would have, each value with the line it comes from, or a built-in file as it is
    Show {
        /// A built-in file
        #[arg(value_enum)]
        file: Option<BuiltInFile>,
        /// Policy file
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        policy: Option<PathBuf>,
    },
    /// Look for mistakes: status 0 if there are none, 1 if there are, 2 if the file cannot be read
    Check {
        /// Policy file; without one, whatever a run would read
        file: Option<PathBuf>,
        /// Check it as the host's, which may be locked
        #[arg(long, requires = "file")]
        host: bool,
    },
    /// Print the JSON schema of policy files
    Schema {
        /// The same as tables, for docs/policy.md
        #[arg(long)]
        markdown: bool,
    },
    /// Say what policy does about a path, a variable or an address: status 0 if it passes, 1 if not
    Explain {
        /// Policy file
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// The object is a path to be read
        #[arg(long, group = "kind")]
        read: bool,
        /// The object is a path to be changed
        #[arg(long, group = "kind")]
        write: bool,
        /// The object is a variable
        #[arg(long, group = "kind")]
        env: bool,
        /// The object is an address, a host name, or a socket
        #[arg(long, group = "kind")]
        connect: bool,
        /// What to ask about; without an option, what it looks like decides
        object: OsString,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BuiltInFile {
    Default,
    Strict,
    Audit,
    Guards,
}

pub(crate) fn main(args: Args) -> ExitCode {
    match args.verb {
        Verb::Show { file: Some(file), policy: _ } => page(match file {
            BuiltInFile::Default => BuiltIn::Default.text(),
            BuiltInFile::Strict => BuiltIn::Strict.text(),
            BuiltInFile::Audit => BuiltIn::Audit.text(),
            BuiltInFile::Guards => policy::guards_text(),
        }),
        Verb::Show { file: None, policy } => {
            match load(policy).and_then(|loaded| Ok(loaded.policy.show()?)) {
                Ok(text) => page(&text),
                Err(error) => refused(&error),
            }
        }
        Verb::Check { file, host } => check(file.as_deref(), host),
        Verb::Schema { markdown: true } => page(&policy::markdown()),
        Verb::Schema { markdown: false } => page(&format!("{:#}", policy::schema())),
        Verb::Explain { policy, read, write, env, connect, object } => {
            let query = match (read, write, env, connect) {
                (true, ..) => Query::Read(object.into()),
                (_, true, ..) => Query::Write(object.into()),
                (_, _, true, _) => Query::Variable(object),
                (.., true) => Query::Connect(object.to_string_lossy().into_owned()),
                _ => Query::guess(object),
            };
            answer(policy, &query)
        }
    }
}

fn load(option: Option<PathBuf>) -> Result<Loaded, LoadError> {
    policy::load(&Sources { option, mode: None, variable: &|name: &str| std::env::var_os(name) })
}

fn check(file: Option<&Path>, host: bool) -> ExitCode {
    let loaded = match file {
        Some(file) => policy::load_file(file, host || file == Path::new(HOST)),
        None => load(None),
    };
    match loaded {
        Ok(loaded) => {
            let by = loaded.tightened_by.map(|by| format!(", tightened by {by}")).unwrap_or_default();
            page(&format!("{}{by}: ok, generation {}", loaded.source, loaded.generation))
        }
        // The mistakes are what was asked for.
        Err(LoadError::Invalid(report)) => match out::line(report) {
            Ok(()) => ExitCode::from(NO),
            Err(error) => unwritten(&error),
        },
        Err(error) => refused(&error),
    }
}

fn answer(policy: Option<PathBuf>, query: &Query) -> ExitCode {
    let project = match std::env::current_dir() {
        Ok(project) => project,
        Err(error) => {
            return out::fail(out::USAGE, format_args!("cannot find the working directory: {error}"));
        }
    };
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let roots = Roots { project: &project, home: home.as_deref() };
    let explanation = match load(policy) {
        Ok(loaded) => explain(&loaded.policy, query, &roots),
        Err(error) => return out::fail(out::USAGE, error),
    };
    let passes = explanation.verdict <= Verdict::Flag;
    match out::line(&explanation) {
        Ok(()) if passes => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(NO),
        Err(error) => unwritten(&error),
    }
}

/// That a policy is wrong is an answer; that it cannot be read is none.
fn refused(error: &LoadError) -> ExitCode {
    match error {
        LoadError::Invalid(_)
        | LoadError::Loosens { .. }
        | LoadError::Writable { .. }
        | LoadError::Owner { .. } => out::fail(NO, error),
        _ => out::fail(out::USAGE, error),
    }
}

fn page(text: &str) -> ExitCode {
    match out::line(text.trim_end_matches('\n')) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

fn unwritten(error: &std::io::Error) -> ExitCode {
    out::fail(out::USAGE, format_args!("cannot write to stdout: {error}"))
}
