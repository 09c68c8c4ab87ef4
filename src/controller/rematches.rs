//! Posts are matched as they pass. When a rule is switched on or edited, those that have passed are read once more: one
//! paged list of the namespace, which serves every rule that has changed by then.

use super::{
    Shell,
    watches::{PAGE, api},
    writer::within,
};
use crate::api::PostLink;
use kube::{Api, api::ListParams, core::DeserializeGuard};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::{info, warn};

/// Between two tries of a list that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Where posts pass, and where they are read anew; clones share it.
#[derive(Clone, Default)]
pub struct Rematches(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The watches of posts that have begun; `None` is the one of all namespaces.
    passing: HashSet<Option<String>>,
    /// The namespaces being read, and whether another rule has changed since that began.
    reading: HashMap<Arc<str>, bool>,
}

impl Rematches {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on posts pass. A rule that came earlier needs no list of its own: at a start, each of a thousand rules
    /// would read all posts.
    pub fn posts_pass(&self, namespace: Option<&str>) {
        self.state().passing.insert(namespace.map(str::to_owned));
    }

    /// Whether a reading is to begin now.
    fn begin(&self, namespace: &Arc<str>) -> bool {
        let mut state = self.state();
        if !state.passing.contains(&None) && !state.passing.contains(&Some(namespace.to_string())) {
            return false;
        }
        if let Some(again) = state.reading.get_mut(namespace) {
            *again = true;
            return false;
        }
        state.reading.insert(namespace.clone(), false);
        true
    }

    /// A reading has ended. Whether another one is to follow.
    fn ended(&self, namespace: &Arc<str>) -> bool {
        let mut state = self.state();
        let again = state.reading.get_mut(namespace).is_some_and(std::mem::take);
        if !again {
            state.reading.remove(namespace);
        }
        again
    }
}

/// A rule of the namespace was switched on or edited: begins to read its posts, beside the loop, unless that is under
/// way or still to come.
pub fn rematch(shell: &Shell, namespace: Arc<str>) {
    if !shell.rematches.begin(&namespace) {
        return;
    }
    let (shell, beside) = (shell.clone(), shell.beside());
    tokio::spawn(async move {
        let _beside = beside;
        read(&shell, &namespace).await;
        while shell.rematches.ended(&namespace) {
            read(&shell, &namespace).await;
        }
    });
}

async fn read(shell: &Shell, namespace: &Arc<str>) {
    let api: Api<DeserializeGuard<PostLink>> = api(shell, Some(namespace));
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match within(api.list(&params)).await {
            Ok(page) => page,
            Err(error) => {
                warn!(%namespace, %error, "posts could not be listed for a rule; trying again");
                tokio::time::sleep(RETRY).await;
                params.continue_token = None;
                continue;
            }
        };
        let posts = page.items.iter().filter_map(|post| post.0.as_ref().ok());
        shell.queue.extend(posts.filter_map(|post| shell.index.rematch(namespace, post)).collect::<Vec<_>>());
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            info!(%namespace, "posts were matched against rules that have changed");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_serves_all_rules_that_changed_by_then() {
        let (rematches, here) = (Rematches::default(), Arc::from("here"));
        assert!(!rematches.begin(&here), "the posts are still to come");
        rematches.posts_pass(Some("elsewhere"));
        assert!(!rematches.begin(&here), "they still are");
        rematches.posts_pass(None);
        assert!(rematches.begin(&here));
        assert!(!rematches.begin(&here) && !rematches.begin(&here), "it is under way");
        assert!(rematches.ended(&here), "two rules changed meanwhile: once more");
        assert!(!rematches.ended(&here));
        assert!(rematches.begin(&here));
    }
}
