//! Performs a decision about a PostLink, for the controller and for tests of single posts.

use crate::{
    api::ObjectRef,
    domain::{
        post_link::{ActivityCheck, ActivityCreation, PostLinkDecision, Step},
        requeue::Requeue,
    },
};

/// The side effects of a decision.
pub trait Effects {
    type Error;

    /// Confirms by a live read that a connection was deleted. Returns when to decide again.
    fn confirm_gone(
        &mut self,
        connection: &ObjectRef,
    ) -> impl Future<Output = Result<Option<Requeue>, Self::Error>>;

    /// Starts to check an activity; the result is part of the next view.
    fn check(&mut self, check: &ActivityCheck);

    /// Starts to create an activity; the result is part of the next view. Returns when to decide again if it did not start.
    fn create(&mut self, creation: &ActivityCreation) -> Option<Requeue>;

    /// Writes the status, if it differs.
    fn write(&mut self, decision: &PostLinkDecision) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Returns when to reconcile again.
pub async fn perform<E: Effects>(
    effects: &mut E,
    decision: &PostLinkDecision,
) -> Result<Option<Requeue>, E::Error> {
    match &decision.step {
        Step::Wait => {}
        Step::Check(check) => effects.check(check),
        Step::Create(creation) => {
            if let Some(requeue) = effects.create(creation) {
                return Ok(Some(requeue));
            }
        }
        Step::ConfirmGone(connection) => return effects.confirm_gone(connection).await,
        Step::Write => effects.write(decision).await?,
    }
    Ok(decision.requeue)
}
