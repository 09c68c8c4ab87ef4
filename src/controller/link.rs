//! One look at a post link: view → decide → ask beside the loop, or write once and only a difference.

use super::{
    AGAIN, Shell,
    events::reference,
    index::{LinkLook, Source, entry},
    instances::Basis,
    queue::Key,
    writer::{self, WriteError},
};
use crate::{
    api::{DynamicsConnection, ObjectRef, PostLink, PostLinkStatus},
    rules::{
        Requeue,
        conditions::transitions,
        link::{Create, LinkDecision, Step, open_to_rules},
    },
};
use jiff::SignedDuration;
use kube::{Api, ResourceExt};

/// Until a lease that is about to end has been renewed. What is refused by it is due again at once: without a pause
/// each link that waits would be read over and over.
const LEASE_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// Looks.
pub async fn look(shell: &Shell, key: &Key) -> Result<Option<Requeue>, WriteError> {
    // Proving a connection gone is the only step that is done here and decided on again.
    for _ in 0..2 {
        let Some(look) = shell.index.look(key) else { return Ok(None) };
        if shell.instances.is_creating(key) {
            return Ok(None);
        }
        let decision = shell.instances.decided(key, &look);
        match &decision.step {
            Step::Wait => return Ok(decision.requeue),
            Step::Check(check) => {
                shell.instances.check(key.clone(), check.clone());
                return Ok(decision.requeue);
            }
            Step::Create(create) => {
                if !shell.instances.may_create() {
                    return Ok(Some(Requeue::awaited(shell.clock.now() + LEASE_AGAIN)));
                }
                shell.instances.create(key.clone(), create.clone(), basis(&look, create));
                return Ok(decision.requeue);
            }
            Step::ConfirmGone(connection) => {
                if !confirm_gone(shell, key, connection).await? {
                    return Ok(Some(Requeue::awaited(shell.clock.now() + AGAIN)));
                }
            }
            Step::Write => {
                write(shell, key, &look, &decision).await?;
                return Ok(decision.requeue);
            }
        }
    }
    Ok(None)
}

fn basis(look: &LinkLook, create: &Create) -> Basis {
    let connection = look.connections.iter().find(|c| c.uid == create.connection);
    let rule = create.rule.as_ref().and_then(|rule| look.matching.iter().find(|r| r.uid == rule.uid));
    Basis {
        uid: look.uid,
        generation: look.facts.generation,
        links_per_second: connection.and_then(|c| c.links_per_second),
        notes: rule.and_then(|r| r.notes.clone()),
    }
}

/// The index does not know the connection of a link. That alone proves nothing: read live (§6). False: it exists, and
/// the watch is behind.
async fn confirm_gone(shell: &Shell, key: &Key, connection: &ObjectRef) -> Result<bool, WriteError> {
    let api: Api<DynamicsConnection> = Api::namespaced(shell.client.clone(), &key.namespace);
    let live = writer::read(&api, &connection.name).await?;
    let gone = live.is_none_or(|live| live.uid().as_deref() != Some(&connection.uid));
    if gone {
        shell.index.bury(&connection.uid);
    }
    Ok(gone)
}

async fn write(shell: &Shell, key: &Key, look: &LinkLook, decision: &LinkDecision) -> Result<(), WriteError> {
    if entry::hash(&decision.status) != look.status_hash {
        let api: Api<PostLink> = Api::namespaced(shell.client.clone(), &key.namespace);
        let version = look.version.to_string();
        let stored = writer::write_status(&api, &key.name, &version, &decision.status).await;
        let stored = match shell.wrote(key, "status", stored) {
            Err(WriteError::Stale) => {
                // Read what was faster, so that the next look does not lose the same race.
                let Some(live) = writer::read(&api, &key.name).await? else { return Err(WriteError::Gone) };
                let touched = shell.index.apply_link(&live, Source::Answer, shell.clock.now());
                if touched.keys.is_empty() {
                    // The watch tells of it, or has done so by now.
                    return Err(WriteError::Stale);
                }
                shell.follow(touched);
                return Ok(());
            }
            other => other?,
        };
        let (before, after) = (&look.facts.status.conditions, &decision.status.conditions);
        let uid = look.uid.to_string();
        shell.decided(key, &uid, before, after);
        shell.events.tell(&reference(key, Some(uid)), transitions(before, after));
        // Our own write is no news to the link itself.
        let _ = shell.index.apply_link(&stored, Source::Answer, shell.clock.now());
        if listens_to_others_now(&look.facts.status, &decision.status) {
            shell.queue.add(key.clone());
        }
    }
    shell.instances.settled(key, decision.requeue.is_some());
    Ok(())
}

/// Whether a write made the link depend on neighbours it did not depend on before. What they did while it was under way
/// made this key due for nobody, so it is looked at once more.
fn listens_to_others_now(before: &PostLinkStatus, after: &PostLinkStatus) -> bool {
    let uid = |status: &PostLinkStatus| status.link.as_ref().map(|link| link.connection.uid.clone());
    let left = before.link.is_some() && uid(before) != uid(after);
    let open = |status: &PostLinkStatus| status.link.is_none() && open_to_rules(status.removed_link.as_ref());
    let reopened = before.link.is_none() && !open(before) && open(after);
    left || reopened
}
