//! What a candidate has seen of the process that holds the lease, and when that lease has expired.

use crate::controller::lease::{StoredLease, shown};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// The lease of another process as last seen.
#[derive(Default)]
pub(super) struct Observed {
    last: Option<(StoredLease, Instant)>,
    /// The holder, and what Postlink does not write, as the log has them.
    told: Option<(String, Option<String>)>,
}

/// What the log does not have yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub holder: String,
    /// Another process than before holds the lease.
    pub is_new: bool,
    /// What Postlink never writes.
    pub foreign: Option<String>,
}

impl Observed {
    /// Remembers when the lease changed. A change of its labels or annotations is no renewal.
    pub fn see(&mut self, spec: &Value, now: Instant) {
        if self.last.as_ref().is_none_or(|(known, _)| known.spec != *spec) {
            let lease = StoredLease { spec: spec.clone(), ..StoredLease::default() };
            self.last = Some((lease, now));
        }
    }

    /// Whether it has not changed for as long as it lasts. `own`: the duration of a lease that has none.
    pub fn has_expired(&self, own: Duration, now: Instant) -> bool {
        self.last.as_ref().is_some_and(|(lease, at)| now.saturating_duration_since(*at) >= lease.lasts(own))
    }

    /// What is to be logged about the holder, once per holder and foreign value.
    pub fn news(&mut self) -> Option<News> {
        let (lease, _) = self.last.as_ref()?;
        let (holder, foreign) = (lease.holder()?.to_owned(), lease.foreign());
        let known = self.told.replace((holder.clone(), foreign.clone()));
        if known.as_ref().is_some_and(|known| known.0 == holder && known.1 == foreign) {
            return None;
        }
        let is_new = known.is_none_or(|(known, _)| known != holder);
        (is_new || foreign.is_some()).then(|| News { holder: shown(&holder), is_new, foreign })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::lease::MAX_LEASE_SECONDS;
    use serde_json::json;

    fn held(holder: &str, seconds: Option<i32>) -> Value {
        json!({"holderIdentity": holder, "leaseDurationSeconds": seconds})
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
    fn each_holder_and_foreign_value_is_logged_once() {
        let mut observed = Observed::default();
        let mut news = |holder, seconds| {
            observed.see(&held(holder, Some(seconds)), Instant::now());
            observed.news()
        };
        let told = |is_new, foreign: Option<i64>| {
            let foreign = foreign.map(|seconds| format!("a duration of {seconds} s"));
            Some(News { holder: "a".to_owned(), is_new, foreign })
        };
        assert_eq!(news("a", 15), told(true, None));
        assert_eq!(news("a", 15), None);
        assert_eq!(news("a", 30), None, "a holder may have been restarted with another duration");
        assert_eq!(news("a", 301), told(false, Some(301)));
        assert_eq!(news("a", 301), None);
        assert_eq!(news("a", 0), told(false, Some(0)));
        assert_eq!(news("b\n", 15).map(|news| news.holder), Some("b\\n".to_owned()));
        assert_eq!(news("a", 301), told(true, Some(301)));
    }

    /// Beyond the times that can be represented.
    #[test]
    fn unreadable_times_are_logged_and_expire() {
        for field in ["renewTime", "acquireTime"] {
            let (mut observed, begin) = (Observed::default(), Instant::now());
            let mut spec = held("a", Some(15));
            spec[field] = json!("9999-12-31T23:59:59.000000Z");
            observed.see(&spec, begin);
            let foreign = format!("the {field} 9999-12-31T23:59:59.000000Z");
            assert_eq!(observed.news().unwrap().foreign, Some(foreign));
            assert!(observed.has_expired(OWN, begin + OWN));
            spec[field] = json!("2025-12-18T07:41:00.000000Z");
            observed.see(&spec, begin);
            assert_eq!(observed.news(), None);
        }
    }
}
