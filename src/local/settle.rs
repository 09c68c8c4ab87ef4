//! When everything is settled: nothing due, nothing under way, and a whole round of confirmations and retries has
//! changed nothing. What remains are periodic looks and refused changes.

use super::session::Session;
use crate::{api::Reason, controller::key::Kind};
use serde_json::Value;
use std::time::Duration;

/// Rounds after which a tree that keeps changing is called unsettled.
const ROUNDS: usize = 100;
/// Rounds in a row that may change nothing while an instance asks to wait: what little it takes in between may be
/// questions that change nothing.
const PATIENCE: usize = 3;
/// Real time without any progress after which something hangs.
const HANGS: Duration = Duration::from_secs(20);

/// It does not settle.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// Something keeps changing.
    #[error("the objects still change after {ROUNDS} rounds of retries")]
    Restless,
    /// Nothing happens any more, and yet something is under way.
    #[error("something is still under way after {} s without progress", HANGS.as_secs())]
    Hangs,
}

/// Waits until everything is settled, moving the clock.
pub async fn settle(session: &Session) -> Result<(), Unsettled> {
    let mut in_vain = 0;
    for _ in 0..ROUNDS {
        quiet(session).await?;
        let waiting = session.controller.quiescence().awaited();
        let Some((last, _)) = waiting.last().cloned() else { return Ok(()) };
        let before = newest(session);
        // One round: each timer there is now rings once, in its order.
        while let Some((next, _)) = session.controller.quiescence().awaited().first().cloned()
            && next <= last
        {
            session.clock.move_to(next);
            quiet(session).await?;
        }
        in_vain = if newest(session) == before { in_vain + 1 } else { 0 };
        if in_vain >= PATIENCE || (in_vain > 0 && !is_throttled(session)) {
            return Ok(());
        }
    }
    Err(Unsettled::Restless)
}

const KINDS: [Kind; 3] = Kind::ALL;

fn newest(session: &Session) -> [u64; 3] {
    KINDS.map(|kind| session.api.latest_revision(kind.as_str()))
}

fn is_throttled(session: &Session) -> bool {
    session.api.objects(Kind::PostLink.as_str()).iter().any(|link| {
        let conditions = link.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|c| c["reason"] == Reason::Throttled.as_str())
    })
}

/// Waits until nothing is due and nothing under way at this time of the clock.
async fn quiet(session: &Session) -> Result<(), Unsettled> {
    let quiescence = session.controller.quiescence();
    let mut still = 0;
    let mut idle_since = tokio::time::Instant::now();
    let mut last = session.api.revision();
    // Seen quiet once may be the moment between two steps; what was seen twice in a row, with every other task given
    // its turn in between, is quiet.
    while still < 3 {
        tokio::task::yield_now().await;
        let caught_up =
            KINDS.iter().all(|kind| quiescence.has_seen(*kind, session.api.latest_revision(kind.as_str())));
        if caught_up && quiescence.is_idle() && session.api.activity().requests_in_flight == 0 {
            still += 1;
            continue;
        }
        still = 0;
        let revision = session.api.revision();
        if revision != last {
            last = revision;
            idle_since = tokio::time::Instant::now();
        }
        if idle_since.elapsed() > HANGS {
            tracing::debug!(
                caught_up,
                idle = quiescence.is_idle(),
                queue = ?session.controller.observer().queue(),
                activity = ?session.api.activity(),
                "nothing moves"
            );
            return Err(Unsettled::Hangs);
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}
