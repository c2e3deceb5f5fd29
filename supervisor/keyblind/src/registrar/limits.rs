//! How much one user may ask for, so that a flood costs only whoever floods.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Connections of all users together.
const MOST_CONNECTIONS: usize = 2048;
/// Connections of one ordinary user: a run has one.
const MOST_OF_ONE: usize = 320;
/// Requests that a user may make at once, and how many come back per second.
const BURST: f64 = 4096.0;
const PER_SECOND: f64 = 2048.0;
/// Guards of one run.
pub(super) const MOST_GUARDS_OF_A_RUN: usize = 1024;
/// How long a client may stay that has not begun a run.
pub(super) const IDLE: Duration = Duration::from_secs(10);

/// Connections and requests, by user.
#[derive(Debug, Default)]
pub(super) struct Limits {
    users: HashMap<u32, User>,
    connections: usize,
}

#[derive(Debug)]
struct User {
    connections: usize,
    left: f64,
    at: Instant,
}

impl User {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = passed.mul_add(PER_SECOND, self.left).min(BURST);
        self.at = now;
    }
}

impl Limits {
    /// Another connection of `uid`; `false` if it is one too many.
    pub(super) fn connect(&mut self, uid: u32, now: Instant) -> bool {
        // Root is left room in any case: it must be able to end the service.
        if uid != 0 && self.connections >= MOST_CONNECTIONS {
            return false;
        }
        let user = self.users.entry(uid).or_insert(User { connections: 0, left: BURST, at: now });
        if uid != 0 && user.connections >= MOST_OF_ONE {
            return false;
        }
        user.connections += 1;
        self.connections += 1;
        true
    }

    /// A connection of `uid` is gone. What it asked for in the last moments is not forgotten: reconnecting is no way
    /// round.
    pub(super) fn disconnect(&mut self, uid: u32, now: Instant) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(user) = self.users.get_mut(&uid) {
            user.connections = user.connections.saturating_sub(1);
            user.refill(now);
            if user.connections == 0 && user.left >= BURST {
                self.users.remove(&uid);
            }
        }
    }

    /// A request of `uid`: how long it has to wait for its answer.
    pub(super) fn request(&mut self, uid: u32, now: Instant) -> Duration {
        let Some(user) = self.users.get_mut(&uid) else { return Duration::ZERO };
        user.refill(now);
        user.left -= 1.0;
        if user.left >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-user.left / PER_SECOND) }
    }

    /// Forgets users without connections who have waited long enough.
    pub(super) fn forget(&mut self, now: Instant) {
        self.users.retain(|_, user| {
            user.refill(now);
            user.connections > 0 || user.left < BURST
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_connections_is_one_users() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let taken = (0..MOST_OF_ONE * 2).filter(|_| limits.connect(1000, now)).count();
        assert_eq!(taken, MOST_OF_ONE);
        assert!(limits.connect(1001, now));
        limits.disconnect(1000, now);
        assert!(limits.connect(1000, now));
        assert!(!limits.connect(1000, now));
    }

    #[test]
    fn many_users_leave_room_for_root() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let taken = (0..).take(MOST_CONNECTIONS * 2).filter(|n| limits.connect(1000 + n, now)).count();
        assert_eq!(taken, MOST_CONNECTIONS);
        assert!(limits.connect(0, now));
    }

    #[test]
    fn a_flood_of_requests_waits_and_others_do_not() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert!(limits.connect(1000, now) && limits.connect(1001, now));
        let waits: Vec<_> = (0..4106).map(|_| limits.request(1000, now)).collect();
        assert!(waits[..4096].iter().all(Duration::is_zero));
        assert!(waits[4096..].iter().all(|wait| !wait.is_zero()));
        assert_eq!(limits.request(1001, now), Duration::ZERO);
        limits.disconnect(1000, now);
        assert!(limits.connect(1000, now));
        assert!(!limits.request(1000, now).is_zero(), "reconnecting is no way round");
        assert_eq!(limits.request(1000, now + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn whoever_is_gone_is_forgotten() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert!(limits.connect(1000, now));
        let _wait = limits.request(1000, now);
        limits.disconnect(1000, now);
        limits.forget(now + Duration::from_secs(5));
        assert!(limits.users.is_empty());
    }
}
