//! Who a run belongs to.

use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User};

use super::Host;

/// The user whose rights a run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Never 0 of the initial user namespace.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// Login name, where there is one.
    pub name: Option<String>,
    /// Home directory according to the user database.
    pub home: Option<PathBuf>,
    /// Whether keyblind has to change ids, being root.
    pub switch: bool,
}

/// Why there is nobody to run as.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PersonError {
    /// The user that was asked for is not known.
    #[error(
        "{asked_by}: there is no user {name:?} on this host; name one that exists, or `useradd --system {name}`"
    )]
    Unknown {
        /// Where the name came from.
        asked_by: String,
        /// The name.
        name: String,
    },
    /// Root asked for root.
    #[error(
        "{asked_by}: a run is never user or group 0 of the host; name an ordinary user, with --user or in [run] user of the policy"
    )]
    Root {
        /// Where the name came from.
        asked_by: String,
    },
    /// Root asked for nobody, and there is no default.
    #[error(
        "started by root, which a run never is, and there is nobody else to be: use --user NAME, set [run] user in the policy, or `useradd --system --shell /usr/sbin/nologin keyblind`"
    )]
    Nobody,
    /// An ordinary user asked for somebody else.
    #[error("{asked_by}: only root can run as another user than the caller; leave it out, or use sudo")]
    NotRoot {
        /// Where the name came from.
        asked_by: String,
    },
}

/// The group of those who have none (base-passwd of Debian; the kernel's overflow group).
const NOGROUP: u32 = 65534;

/// The system user of runs that root starts without saying for whom.
const DEDICATED: &str = "keyblind";

/// Who the run belongs to: for root `asked` (name or number, and where it was asked), else SUDO_UID, else the
/// dedicated user; for others the caller.
pub fn person(
    host: &Host,
    asked: Option<(&str, String)>,
    sudo_uid: Option<&str>,
) -> Result<Person, PersonError> {
    let caller = || known(host.uid, host.gid, false);
    let Some((name, asked_by)) = asked else {
        if !host.uid.is_root() {
            return Ok(caller());
        }
        let sudo =
            sudo_uid.and_then(|text| text.parse().ok()).map(Uid::from_raw).filter(|uid| !uid.is_root());
        if let Some(user) = sudo.and_then(|uid| User::from_uid(uid).ok().flatten()) {
            return Ok(from_entry(user));
        }
        return match User::from_name(DEDICATED).ok().flatten() {
            Some(user) if !user.uid.is_root() => Ok(from_entry(user)),
            _ => Err(PersonError::Nobody),
        };
    };
    let found = match name.parse() {
        // A number needs no entry: containers often have none for the user they run as.
        Ok(number) => {
            let uid = Uid::from_raw(number);
            // A group of that number belongs to somebody else: `sudo` is 27 on Debian.
            let taken = Group::from_gid(Gid::from_raw(number)).ok().flatten().is_some();
            known(uid, Gid::from_raw(if taken { NOGROUP } else { number }), true)
        }
        Err(_) => match User::from_name(name).ok().flatten() {
            Some(user) => from_entry(user),
            None => return Err(PersonError::Unknown { asked_by, name: name.to_owned() }),
        },
    };
    if found.uid.is_root() || found.gid.as_raw() == 0 {
        return Err(PersonError::Root { asked_by });
    }
    if found.uid == host.uid {
        return Ok(caller());
    }
    if !host.uid.is_root() || !host.switch_user {
        return Err(PersonError::NotRoot { asked_by });
    }
    Ok(found)
}

fn known(uid: Uid, gid: Gid, switch: bool) -> Person {
    match User::from_uid(uid).ok().flatten() {
        Some(user) if switch => from_entry(user),
        Some(user) => Person { gid, switch, ..from_entry(user) },
        None => Person { uid, gid, name: None, home: None, switch },
    }
}

fn from_entry(user: User) -> Person {
    Person { uid: user.uid, gid: user.gid, name: Some(user.name), home: Some(user.dir), switch: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(uid: u32) -> Host {
        Host { uid: Uid::from_raw(uid), gid: Gid::from_raw(uid), switch_user: uid == 0, ..Host::probe() }
    }

    #[test]
    fn root_is_never_the_user_of_a_run() {
        let asked = |name: &'static str| Some((name, "--user".to_owned()));
        assert_eq!(
            person(&host(0), asked("root"), None),
            Err(PersonError::Root { asked_by: "--user".into() })
        );
        assert_eq!(person(&host(0), asked("0"), None), Err(PersonError::Root { asked_by: "--user".into() }));
        let sudo = person(&host(0), asked("27"), None).expect("a number needs no entry");
        assert_ne!(sudo.gid, Gid::from_raw(27), "the group of that number is another's");
        let found = person(&host(0), asked("4242"), Some("0")).expect("a number needs no entry");
        assert_eq!((found.uid, found.gid, found.switch), (Uid::from_raw(4242), Gid::from_raw(4242), true));
    }

    #[test]
    fn an_ordinary_user_is_only_ever_itself() {
        let found = person(&host(4242), None, Some("1")).expect("the caller");
        assert_eq!((found.uid, found.switch), (Uid::from_raw(4242), false));
        let other = person(&host(4242), Some(("1", "--user".into())), None);
        assert_eq!(other, Err(PersonError::NotRoot { asked_by: "--user".into() }));
    }

    #[test]
    fn a_user_that_is_not_there_is_named() {
        let error =
            person(&host(0), Some(("no-such-user", "policy.toml:4".into())), None).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "policy.toml:4: there is no user \"no-such-user\" on this host; name one that exists, or `useradd --system no-such-user`"
        );
    }
}
