//! Whether the controller is idle: what `postlink local` and the tests wait for.

use super::{
    context::Context,
    key::{Key, Kind},
};
use jiff::Timestamp;

/// A handle for callers that wait for the controller and move its clock.
#[derive(Clone)]
pub struct Quiescence(Context);

impl Quiescence {
    pub fn of(context: &Context) -> Self {
        Self(context.clone())
    }

    /// Whether nothing is due or in flight. Timers may be pending.
    pub fn is_idle(&self) -> bool {
        let Self(context) = self;
        context.sync.is_complete()
            && context.queue.is_idle()
            && context.background.is_idle()
            && context.events.is_idle()
    }

    /// Whether the watch of a kind has delivered everything up to a resourceVersion.
    pub fn has_seen(&self, kind: Kind, resource_version: u64) -> bool {
        self.0.sync.newest(kind) >= resource_version
    }

    /// The non-periodic timers, soonest first.
    pub fn awaited(&self) -> Vec<(Timestamp, Key)> {
        self.0.queue.awaited()
    }

    /// Contacts no known instance until [`Quiescence::release_instances`]. Otherwise a clock that jumps makes every probe
    /// due at once, before the commit at that time has arrived.
    pub fn hold_instances(&self) {
        self.0.runtime.hold();
    }

    /// Ends the hold and enqueues what became due meanwhile.
    pub fn release_instances(&self) {
        self.0.queue.extend(self.0.runtime.release());
    }
}
