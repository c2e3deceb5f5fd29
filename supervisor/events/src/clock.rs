#![forbid(unsafe_code)]
//! The two clocks of an event: wall time for people, monotonic time for order and distance.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment of wall time: nanoseconds since 1970-01-01T00:00:00Z, good until the year 2554.
///
/// Written and read as RFC 3339 in UTC with nine digits of fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(u64);

impl Wall {
    /// Now. A clock set before 1970 reads as 1970, one set after 2554 as 2554.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment `ns` nanoseconds after 1970-01-01T00:00:00Z.
    pub fn from_unix_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn unix_ns(self) -> u64 {
        self.0
    }

    /// The moment `distance` before this one, 1970 at the earliest.
    pub fn before(self, distance: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(distance.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// As RFC 3339 in UTC with milliseconds, as people read it.
    pub fn millis(self) -> String {
        self.with_fraction(3)
    }

    fn with_fraction(self, digits: usize) -> String {
        let whole = OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_nanos(self.0);
        let fraction = format!("{:09}", whole.nanosecond());
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{}Z",
            whole.year(),
            u8::from(whole.month()),
            whole.day(),
            whole.hour(),
            whole.minute(),
            whole.second(),
            fraction.get(..digits).unwrap_or_default(),
        )
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_fraction(9))
    }
}

impl FromStr for Wall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|error| format!("not a time of RFC 3339: {error}"))?;
        u64::try_from(moment.unix_timestamp_nanos())
            .map(Self)
            .map_err(|_out_of_range| "outside of 1970 to 2554".to_owned())
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns`: not counted while the machine is
/// suspended, never set back.
pub(crate) fn monotonic_ns() -> u64 {
    // clock_gettime(2) fails for a clock that does not exist and for a bad pointer; neither can be here.
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or_default();
    let rest = u64::try_from(now.tv_nsec()).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_rfc_3339_and_read_back() {
        let check = |ns: u64, text: &str| {
            assert_eq!(Wall::from_unix_ns(ns).to_string(), text);
            assert_eq!(text.parse(), Ok(Wall::from_unix_ns(ns)));
        };
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z");
        check(1_795_442_533_377_000_000, "2026-11-23T14:02:13.377000000Z");
        check(u64::MAX, "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn reads_other_offsets_and_refuses_what_is_no_time() {
        assert_eq!("1970-01-01T02:00:00+02:00".parse(), Ok(Wall::from_unix_ns(0)));
        for bad in ["", "yesterday", "2026-11-23", "1969-12-31T23:59:59Z", "2555-01-01T00:00:00Z"] {
            assert!(bad.parse::<Wall>().is_err(), "{bad}");
        }
    }

    #[test]
    fn goes_back_as_far_as_1970() {
        let second = std::time::Duration::from_secs(1);
        assert_eq!(Wall::from_unix_ns(1_500_000_000).before(second), Wall::from_unix_ns(500_000_000));
        assert_eq!(Wall::from_unix_ns(5).before(second), Wall::from_unix_ns(0));
        assert_eq!(Wall::from_unix_ns(5).before(std::time::Duration::MAX), Wall::from_unix_ns(0));
    }

    #[test]
    fn shows_milliseconds_to_people() {
        let moment = Wall::from_unix_ns(1_795_442_533_377_999_999);
        assert_eq!(moment.millis(), "2026-11-23T14:02:13.377Z");
    }

    #[test]
    fn monotonic_time_moves_on() {
        let first = monotonic_ns();
        assert!(first > 0);
        assert!(monotonic_ns() >= first);
    }
}
