//! What a candidate has seen of the process that holds the lease, and when that lease has expired.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use std::time::Duration;
use tokio::time::Instant;

/// The longest lease, in seconds: the upper bound of `--lease-duration`. A Lease with a longer duration was not written by
/// Postlink. Its holder may not exist, and must not block every candidate for ever.
pub const MAX_LEASE_SECONDS: u16 = 300;

/// The shortest lease, in seconds: the lower bound of `--lease-duration`. With a shorter duration in the Lease, a candidate
/// would take it from a leader that renews it in time.
pub const MIN_LEASE_SECONDS: u16 = 5;

/// Longest identity in the log. Anyone who may write the Lease chooses it.
const MAX_SHOWN: usize = 300;

pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// An identity as the log shows it.
pub(super) fn shown(identity: &str) -> String {
    identity.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// The lease of another process as last seen.
#[derive(Default)]
pub(super) struct Observed {
    last: Option<(LeaseSpec, Instant)>,
    /// The holder and the duration that the log has.
    told: Option<(String, Option<i32>)>,
}

/// What the log does not have yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub holder: String,
    /// Another process than before holds the lease.
    pub is_new: bool,
    /// A duration that Postlink never writes, in seconds.
    pub foreign: Option<i32>,
}

impl Observed {
    /// Remembers when the lease changed. A change of its labels or annotations is no renewal.
    pub fn see(&mut self, spec: &LeaseSpec, now: Instant) {
        if self.last.as_ref().is_none_or(|(known, _)| known != spec) {
            self.last = Some((spec.clone(), now));
        }
    }

    /// Whether it has not changed for as long as it lasts. `own`: the duration of a lease that has none.
    pub fn has_expired(&self, own: Duration, now: Instant) -> bool {
        self.last.as_ref().is_some_and(|(spec, at)| now.saturating_duration_since(*at) >= lasts(spec, own))
    }

    /// What is to be logged about the holder, once per holder and duration.
    pub fn news(&mut self) -> Option<News> {
        let (spec, _) = self.last.as_ref()?;
        let seconds = spec.lease_duration_seconds;
        let holder = spec.holder_identity.clone()?;
        let known = self.told.replace((holder.clone(), seconds));
        if known.as_ref().is_some_and(|(known, same)| *known == holder && *same == seconds) {
            return None;
        }
        let is_new = known.is_none_or(|(known, _)| known != holder);
        let foreign = seconds.filter(|seconds| {
            !(i32::from(MIN_LEASE_SECONDS)..=i32::from(MAX_LEASE_SECONDS)).contains(seconds)
        });
        (is_new || foreign.is_some()).then(|| News { holder: shown(&holder), is_new, foreign })
    }
}

/// How long a lease lasts after its last change. The holder's own duration counts: it may have been started with a
/// different one.
fn lasts(spec: &LeaseSpec, own: Duration) -> Duration {
    match spec.lease_duration_seconds.map(u64::try_from) {
        Some(Ok(seconds)) if seconds >= MIN_LEASE_SECONDS.into() => {
            Duration::from_secs(seconds.min(MAX_LEASE_SECONDS.into()))
        }
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        }
    }

    const OWN: Duration = Duration::from_secs(15);

    #[test]
    fn no_lease_lasts_longer_than_postlink_writes() {
        let longest = Duration::from_secs(MAX_LEASE_SECONDS.into());
        for (seconds, expected) in [
            (Some(2_000_000_000), longest),
            (Some(301), longest),
            (Some(300), longest),
            (Some(60), Duration::from_secs(60)),
            (Some(5), Duration::from_secs(5)),
            (Some(4), OWN),
            (Some(0), OWN),
            (Some(-1), OWN),
            (None, OWN),
        ] {
            let (mut observed, begin) = (Observed::default(), Instant::now());
            observed.see(&held("a", seconds), begin);
            let just_before = begin + expected - Duration::from_millis(1);
            assert!(!observed.has_expired(OWN, just_before), "{seconds:?}");
            assert!(observed.has_expired(OWN, begin + expected), "{seconds:?}");
        }
    }

    #[test]
    fn only_a_change_of_the_spec_renews() {
        let (mut observed, begin) = (Observed::default(), Instant::now());
        observed.see(&held("a", Some(60)), begin);
        let later = begin + Duration::from_secs(60);
        observed.see(&held("a", Some(60)), later);
        assert!(observed.has_expired(OWN, later));
        observed.see(&held("a", Some(61)), later);
        assert!(!observed.has_expired(OWN, later));
    }

    #[test]
    fn each_holder_and_foreign_duration_is_logged_once() {
        let mut observed = Observed::default();
        let mut news = |holder, seconds| {
            observed.see(&held(holder, Some(seconds)), Instant::now());
            observed.news()
        };
        let told = |is_new, foreign| Some(News { holder: "a".to_owned(), is_new, foreign });
        assert_eq!(news("a", 15), told(true, None));
        assert_eq!(news("a", 15), None);
        assert_eq!(news("a", 30), None, "a holder may have been restarted with another duration");
        assert_eq!(news("a", 301), told(false, Some(301)));
        assert_eq!(news("a", 301), None);
        assert_eq!(news("a", 0), told(false, Some(0)));
        assert_eq!(news("b\n", 15).map(|news| news.holder), Some("b\\n".to_owned()));
        assert_eq!(news("a", 301), told(true, Some(301)));
    }
}
