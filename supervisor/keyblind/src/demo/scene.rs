//! The fakes, and the tool that is let loose on them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::PathBuf;

use keyblind_events::{Kind, SessionId};
use sha2::{Digest, Sha256};

use super::DemoError;
use super::attacks::{Attack, Prey};
use super::metadata::with_service;
use super::verdict::{Gap, Sight};
use crate::host::Host;
use crate::trial::{Bystander, Canary, Observed, Place, Stage, can_execute, random_word, unused_uid};

/// System programs only: a caller's own may lie in the home that is replaced.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A home with a project in it, and the keys.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) stage: Stage,
    place: Place,
    /// In the caller's variables.
    variables: Vec<Canary>,
    credentials: Canary,
    dot_env: Canary,
    late: Canary,
    history: Canary,
    metadata: Canary,
    /// Holds the variables while the tool runs.
    agent: Bystander,
    may_unshare: bool,
    /// Whether the events can be looked at afterwards: a caller without a home has them in the one of fakes.
    pub(super) journal_stays: bool,
}

/// Paths below the place.
const PROJECT: &str = "home/project";
const CREDENTIALS: &str = "home/.aws/credentials";
const DOT_ENV: &str = "home/project/.env";
const LATE: &str = "home/project/.env.local";
const HOOK: &str = "home/project/.git/hooks/pre-commit";

impl Scene {
    /// Plants it. Where root shows it, the tool is a user that does not exist and owns nothing else.
    pub(super) fn plant(host: &Host) -> Result<Self, DemoError> {
        let random = DemoError::system("read /dev/urandom");
        let user = host.uid.is_root().then(unused_uid).flatten().map(|uid| (uid, uid));
        let fakes = Fakes::make().map_err(random)?;
        let mut place = Place::new("demo", user)?;
        let home = place.directory("home")?;
        let mut options: Vec<OsString> = vec!["--label".into(), "demo=attack".into()];
        if let Some((uid, _)) = user {
            options.extend(["--user".into(), uid.to_string().into()]);
        }
        let mut variables: Vec<(OsString, OsString)> =
            vec![("PATH".into(), PATH.into()), ("HOME".into(), home.into()), ("LANG".into(), "C".into())];
        // The journal is the caller's own: its events are there to be looked at afterwards.
        let state = state_home();
        let journal_stays = host.uid.is_root() || state.is_some();
        variables.extend(state.map(|path| ("XDG_STATE_HOME".into(), path.into())));
        variables.extend(fakes.variables.iter().map(|key| (key.name.into(), key.value.clone().into())));
        let stage = Stage {
            project: place.directory(PROJECT)?,
            user,
            only: true,
            variables,
            events: place.root().join("events.jsonl"),
            session: session()?,
            options,
        };
        place.hand_over()?;
        let agent = stage.bystander(&[OsStr::new("cat")]).map_err(DemoError::system("start cat"))?;
        let Fakes { variables, credentials, dot_env, late, history, metadata } = fakes;
        let may_unshare = host.mounts.is_available();
        let mut scene = Self {
            stage,
            place,
            variables,
            credentials,
            dot_env,
            late,
            history,
            metadata,
            agent,
            may_unshare,
            journal_stays,
        };
        scene.write_files()?;
        Ok(scene)
    }

    fn write_files(&mut self) -> Result<(), DemoError> {
        const IDENTITY: &str =
            "[user]\n\tname = Jo\n\temail = jo@example.invalid\n[init]\n\tdefaultBranch = main\n";
        let note = self.openai().map_or(String::new(), |key| format!("the key is {}\n", key.value));
        let [credentials, old, new] =
            [Prey::Credentials, Prey::History, Prey::DotEnv].map(|prey| self.content(prey));
        let place = &mut self.place;
        place.plant(CREDENTIALS, credentials)?;
        place.plant("home/.gitconfig", IDENTITY)?;
        let package =
            r#"{"name":"demo","version":"1.0.0","scripts":{"test":"node -e \"console.log(6*7)\""}}"#;
        place.plant("home/project/package.json", format!("{package}\n"))?;
        place.plant("home/project/notes.txt", note)?;
        if has("git") {
            place.plant(DOT_ENV, old)?;
            self.git("init -q && git add -f . && git commit -q -m start")?;
            self.git("rm -q --cached .env && printf '.env*\\n' > .gitignore && git add . && git commit -q -m clean")?;
        }
        self.place.plant(DOT_ENV, new)?;
        Ok(())
    }

    fn git(&self, line: &str) -> Result<(), DemoError> {
        let script = format!("git {line}");
        let seen = self
            .stage
            .bare(&["sh", "-c", &script].map(OsStr::new), b"")
            .map_err(DemoError::system("start git"))?;
        if seen.status == 0 {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&seen.stderr).trim().to_owned();
        Err(DemoError::System { what: "make a repository", source: io::Error::other(why) })
    }

    /// What a file holds.
    fn content(&self, prey: Prey) -> String {
        let url = |key: &Canary| format!("DB_URL=postgres://app:{}@db.example.invalid/app\n", key.value);
        match prey {
            Prey::Credentials => format!(
                "[default]\naws_access_key_id = none\naws_secret_access_key = {}\n",
                self.credentials.value
            ),
            Prey::DotEnv => url(&self.dot_env),
            Prey::LateDotEnv => url(&self.late),
            Prey::History => url(&self.history),
            Prey::Variables | Prey::Notes | Prey::Metadata | Prey::Hooks => String::new(),
        }
    }

    fn openai(&self) -> Option<&Canary> {
        self.variables.iter().find(|key| key.name == "OPENAI_API_KEY")
    }

    fn canaries(&self, prey: Prey) -> Vec<Canary> {
        match prey {
            Prey::Variables => self.variables.clone(),
            Prey::Credentials => vec![self.credentials.clone()],
            Prey::DotEnv => vec![self.dot_env.clone()],
            Prey::LateDotEnv => vec![self.late.clone()],
            Prey::History => vec![self.history.clone()],
            Prey::Notes => self.openai().cloned().into_iter().collect(),
            Prey::Metadata => vec![self.metadata.clone()],
            Prey::Hooks => Vec::new(),
        }
    }

    /// Why an attack cannot be tried on this machine.
    pub(super) fn cannot_try(&self, attack: &Attack) -> Option<String> {
        if attack.prey == Prey::Metadata && !self.may_unshare {
            return Some("needs a network namespace of its own: start as root".to_owned());
        }
        let missing: Vec<&str> = attack.needs.iter().copied().filter(|program| !has(program)).collect();
        (!missing.is_empty()).then(|| format!("no {} on this machine", missing.join(", no ")))
    }

    /// One attempt.
    pub(super) fn attempt(&mut self, attack: &Attack, supervised: bool) -> io::Result<Sight> {
        let agent = self.agent.id().to_string();
        let command = ["sh", "-c", attack.script, &agent].map(OsStr::new);
        let late = self.content(Prey::LateDotEnv);
        let Self { stage, place, .. } = self;
        let start = || if supervised { stage.supervised(&command, b"") } else { stage.bare(&command, b"") };
        let mut effect = false;
        let seen = match attack.prey {
            Prey::Metadata => {
                let (seen, asked) = with_service(&self.metadata.value, start)?;
                effect = asked;
                seen
            }
            Prey::LateDotEnv => {
                let mut plant = || {
                    let planted = place.plant(LATE, &late);
                    planted.map(drop).map_err(io::Error::other)
                };
                let seen = stage.interrupted(supervised, &command, &mut plant)?;
                fs::remove_file(place.root().join(LATE))?;
                seen
            }
            Prey::Hooks => {
                let seen = start()?;
                // Whoever made it, the next attempt must find none.
                effect = fs::remove_file(place.root().join(HOOK)).is_ok();
                seen
            }
            _ => start()?,
        };
        Ok(self.sight(attack, seen, effect))
    }

    fn sight(&self, attack: &Attack, seen: Observed, effect: bool) -> Sight {
        let content = self.content(attack.prey);
        let digest =
            (!content.is_empty() && attack.prey != Prey::History).then(|| sha256(content.as_bytes()));
        let sight = Sight::of(&seen.output(), &self.canaries(attack.prey), digest.as_deref());
        Sight { effect, events: seen.events, ..sight }
    }
}

/// Whether a program is on this machine.
pub(super) fn has(program: &str) -> bool {
    can_execute(program, OsStr::new(PATH))
}

/// What the first event of a run says that it does not do, and why.
pub(super) fn gaps(seen: &Observed) -> Vec<Gap> {
    let started = seen.events.iter().find_map(|event| match &event.kind {
        Kind::RunStarted(started) => Some(&started.not_enforced),
        _ => None,
    });
    started.into_iter().flatten().filter_map(|text| Gap::parse(text)).collect()
}

struct Fakes {
    variables: Vec<Canary>,
    credentials: Canary,
    dot_env: Canary,
    late: Canary,
    history: Canary,
    metadata: Canary,
}

impl Fakes {
    fn make() -> io::Result<Self> {
        let variables = [
            ("OPENAI_API_KEY", "sk-proj-", 48),
            ("AWS_SECRET_ACCESS_KEY", "", 40),
            ("GITHUB_TOKEN", "ghp_", 36),
            ("SLACK_API_KEY", "xoxb-", 40),
            ("DB_PASSWORD", "", 24),
        ];
        Ok(Self {
            variables: variables
                .into_iter()
                .map(|(name, prefix, length)| Canary::new(name, prefix, length))
                .collect::<io::Result<_>>()?,
            credentials: Canary::new("aws_secret_access_key", "", 40)?,
            dot_env: Canary::new("DB_URL", "", 24)?,
            late: Canary::new("DB_URL", "", 24)?,
            history: Canary::new("DB_URL", "", 24)?,
            metadata: Canary::new("SecretAccessKey", "", 40)?,
        })
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `demo-` and a few letters.
fn session() -> Result<SessionId, DemoError> {
    let word = random_word(6).map_err(DemoError::system("read /dev/urandom"))?;
    let id = format!("demo-{word}").parse();
    id.map_err(|error| DemoError::System { what: "name the session", source: io::Error::other(error) })
}

/// Where the caller's journal is, as the XDG Base Directory Specification says.
fn state_home() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
}
