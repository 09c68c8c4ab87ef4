//! Matches stored posts against a rule that was activated or edited. The index does not keep the texts of posts, so the
//! namespace is listed again, once for all rules that have changed by then.

use crate::{
    api::PostLink,
    controller::{
        background::BackgroundTask,
        context::{Context, RematchRequest},
        list::{PAGE, api},
        patch::within,
        received::Received,
    },
    domain::backoff::Backoff,
};
use jiff::SignedDuration;
use kube::{Api, api::ListParams};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::Instant,
};
use tracing::{info, warn};

/// Backoff of a list that fails. Short, because `postlink local` gives up when nothing happens for twenty seconds.
const RETRY: Backoff = Backoff { first: SignedDuration::from_secs(1), max: SignedDuration::from_secs(10) };

/// A namespace is listed again only after so many times as long as the last list took: a tenant that edits a rule in a loop
/// must not occupy the controller.
const REST: u32 = 4;

/// The namespaces that are being listed, and the request that arrived meanwhile.
#[derive(Default)]
struct Reads(HashMap<Arc<str>, Option<BackgroundTask>>);

impl Reads {
    /// The task of a list to start now; `None` while the namespace is being listed: another list follows.
    fn begin(&mut self, namespace: &Arc<str>, task: BackgroundTask) -> Option<BackgroundTask> {
        if let Some(again) = self.0.get_mut(namespace) {
            again.get_or_insert(task);
            return None;
        }
        self.0.insert(namespace.clone(), None);
        Some(task)
    }

    /// Ends a list. Returns the task of the next one, if another rule has changed.
    fn end(&mut self, namespace: &Arc<str>) -> Option<BackgroundTask> {
        let again = self.0.get_mut(namespace)?.take();
        if again.is_none() {
            self.0.remove(namespace);
        }
        again
    }
}

/// Lists and matches namespaces as requested.
pub async fn run(context: Context, mut requests: mpsc::UnboundedReceiver<RematchRequest>) {
    let mut reads = Reads::default();
    let mut tasks: JoinSet<Arc<str>> = JoinSet::new();
    // Namespaces take turns, page by page. Several at a time would take the memory of as many pages, and the processor from
    // the watch, whose first list a start waits for.
    let turn = Arc::new(Mutex::new(()));
    loop {
        let (namespace, task) = tokio::select! {
            request = requests.recv() => match request {
                Some((namespace, task)) => (namespace.clone(), reads.begin(&namespace, task)),
                None => return,
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok(namespace) => (namespace.clone(), reads.end(&namespace)),
                // The list panicked: returning ends the controller.
                Err(_) => return,
            },
        };
        if let Some(task) = task {
            let (context, turn) = (context.clone(), turn.clone());
            tasks.spawn(async move {
                let took = read(&context, &namespace, &turn).await;
                drop(task);
                tokio::time::sleep(took * REST).await;
                namespace
            });
        }
    }
}

/// Returns how long it took, without the time that it waited for its turns.
async fn read(context: &Context, namespace: &Arc<str>, turn: &Mutex<()>) -> Duration {
    let mut took = Duration::ZERO;
    let api: Api<Received<PostLink>> = api(&context.client, Some(namespace));
    let (mut params, mut failures) = (ListParams::default().limit(PAGE), 0);
    loop {
        let own_turn = turn.lock().await;
        let slot = context.lists.take().await;
        let begin = Instant::now();
        let page = match within(api.list(&params)).await {
            Ok(page) => page,
            Err(error) => {
                warn!(%namespace, %error, "failed to list posts for a changed rule; retrying");
                failures += 1;
                took += begin.elapsed();
                drop((slot, own_turn));
                tokio::time::sleep(RETRY.delay(failures).unsigned_abs()).await;
                params.continue_token = None;
                continue;
            }
        };
        for post in page.items.iter().filter_map(|post| post.decode().ok()) {
            context.queue.extend(context.index.rematch(namespace, &post));
            // Many large rules take a while for each post.
            tokio::task::yield_now().await;
        }
        took += begin.elapsed();
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            info!(%namespace, "matched posts against changed rules");
            return took;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::background::Background;

    #[test]
    fn one_list_serves_all_changed_rules() {
        let (mut reads, here, background) = (Reads::default(), Arc::from("here"), Background::default());
        let task = || background.begin();
        let first = reads.begin(&here, task());
        assert!(first.is_some());
        assert!(reads.begin(&here, task()).is_none(), "it is being listed");
        assert!(reads.begin(&here, task()).is_none(), "two rules changed meanwhile");
        assert!(reads.end(&here).is_some(), "one more list for both");
        assert!(reads.end(&here).is_none());
        drop(first);
        assert!(background.is_idle());
        assert!(reads.begin(&here, task()).is_some());
    }
}
