//! Waits until everything has settled: nothing is due or in flight, and a whole round of confirmations and retries changed
//! nothing. What remains is periodic reconciles and refused changes.

use super::session::Session;
use crate::{api::Reason, controller::key::Kind};
use serde_json::Value;
use std::time::Duration;

/// A tree that still changes after this many rounds does not settle.
const MAX_ROUNDS: usize = 100;
/// While an instance throttles, up to this many rounds in a row may change nothing: the few requests it accepts may be
/// reads.
const THROTTLED_ROUNDS: usize = 3;
/// Real time without progress after which settling fails.
const STUCK_AFTER: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    #[error("the objects still change after {MAX_ROUNDS} rounds of retries")]
    KeepsChanging,
    #[error("requests or reconciles are still in flight after {} s without progress", STUCK_AFTER.as_secs())]
    Stuck,
}

/// Waits until everything has settled, moving the clock to each confirmation and retry.
pub async fn settle(session: &Session) -> Result<(), Unsettled> {
    let mut unchanged_rounds = 0;
    for _ in 0..MAX_ROUNDS {
        idle(session).await?;
        let waiting = session.controller.quiescence().awaited();
        let Some((last, _)) = waiting.last().cloned() else { return Ok(()) };
        let before = latest_revisions(session);
        // One round: each timer that exists now fires once, in order.
        while let Some((next, _)) = session.controller.quiescence().awaited().first().cloned()
            && next <= last
        {
            session.clock.move_to(next);
            idle(session).await?;
        }
        unchanged_rounds = if latest_revisions(session) == before { unchanged_rounds + 1 } else { 0 };
        if unchanged_rounds >= THROTTLED_ROUNDS || (unchanged_rounds > 0 && !is_throttled(session)) {
            return Ok(());
        }
    }
    Err(Unsettled::KeepsChanging)
}

const KINDS: [Kind; 3] = Kind::ALL;

fn latest_revisions(session: &Session) -> [u64; 3] {
    KINDS.map(|kind| session.api.latest_revision(kind.as_str()))
}

fn is_throttled(session: &Session) -> bool {
    session.api.objects(Kind::PostLink.as_str()).iter().any(|link| {
        let conditions = link.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|c| c["reason"] == Reason::Throttled.as_str())
    })
}

/// Waits until nothing is due or in flight at this time of the clock.
async fn idle(session: &Session) -> Result<(), Unsettled> {
    let quiescence = session.controller.quiescence();
    let mut idle_checks = 0;
    let mut last_progress = tokio::time::Instant::now();
    let mut last = session.api.revision();
    // One check may fall between two steps of a task. Between checks, every other task gets its turn.
    while idle_checks < 3 {
        tokio::task::yield_now().await;
        let caught_up =
            KINDS.iter().all(|kind| quiescence.has_seen(*kind, session.api.latest_revision(kind.as_str())));
        if caught_up && quiescence.is_idle() && session.api.activity().requests_in_flight == 0 {
            idle_checks += 1;
            continue;
        }
        idle_checks = 0;
        let revision = session.api.revision();
        if revision != last {
            last = revision;
            last_progress = tokio::time::Instant::now();
        }
        if last_progress.elapsed() > STUCK_AFTER {
            tracing::debug!(
                caught_up,
                idle = quiescence.is_idle(),
                queue = ?session.controller.observer().queue(),
                activity = ?session.api.activity(),
                "no progress"
            );
            return Err(Unsettled::Stuck);
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}
