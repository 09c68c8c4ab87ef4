//! Performs a decision about a PostLink: the one driver of the controller and of the tests that play a post alone.

use crate::{
    api::ObjectRef,
    domain::{
        post_link::{ActivityCheck, ActivityCreation, PostLinkDecision, Step},
        requeue::Requeue,
    },
};

/// What a decision can ask for.
pub trait Effects {
    type Error;

    /// Confirms by a live read that a connection is gone. When to decide again.
    fn confirm_gone(
        &mut self,
        connection: &ObjectRef,
    ) -> impl Future<Output = Result<Option<Requeue>, Self::Error>>;

    /// Asks the instance about an activity; the answer is part of the next view.
    fn check(&mut self, check: &ActivityCheck);

    /// Creates an activity; the result is part of the next view. When to decide again, if nothing was begun.
    fn create(&mut self, creation: &ActivityCreation) -> Option<Requeue>;

    /// Writes the status, if it differs.
    fn write(&mut self, decision: &PostLinkDecision) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Does what the decision says. When to reconcile again.
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
