//! When nothing is going on: what `postlink local` and the tests wait for, all in one place.

use super::{
    context::Context,
    key::{Key, Kind},
};
use jiff::Timestamp;

/// The view of a controller that somebody has who waits for it and moves its clock.
#[derive(Clone)]
pub struct Quiescence(Context);

impl Quiescence {
    pub fn of(context: &Context) -> Self {
        Self(context.clone())
    }

    /// Whether nothing is due and nothing in flight. Timers may wait.
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

    /// The timers something waits for, soonest first.
    pub fn awaited(&self) -> Vec<(Timestamp, Key)> {
        self.0.queue.awaited()
    }

    /// Contacts no instance known so far until [`Quiescence::release_instances`]: a clock that has jumped makes every
    /// probe due at once, before the commit it jumped to has arrived.
    pub fn hold_instances(&self) {
        self.0.runtime.hold();
    }

    /// Ends the hold; what became due meanwhile is done now.
    pub fn release_instances(&self) {
        self.0.queue.extend(self.0.runtime.release());
    }
}
