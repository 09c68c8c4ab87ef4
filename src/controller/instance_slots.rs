//! How much work with instances is under way: probes, checks and creations. Each holds connections to an instance and to the
//! API server, and a response of up to some MiB, so without a limit a thousand connections would exhaust the memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// In all namespaces.
const ALL: usize = 128;
/// In one namespace: instances that do not answer keep at most these slots until their requests time out.
const NAMESPACE: usize = 32;

/// Clones share the slots.
#[derive(Clone)]
pub struct InstanceSlots {
    all: Arc<Semaphore>,
    namespaces: Arc<Mutex<Namespaces>>,
}

/// The slots of each namespace that uses or waits for some, and how many do.
type Namespaces = HashMap<String, (Arc<Semaphore>, usize)>;

/// A slot until it is dropped.
pub struct InstanceSlot {
    _of_all: OwnedSemaphorePermit,
    _of_namespace: OwnedSemaphorePermit,
    _user: User,
}

/// Counts as a user of its namespace until it is dropped.
struct User {
    namespaces: Arc<Mutex<Namespaces>>,
    namespace: String,
}

impl Default for InstanceSlots {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), namespaces: Arc::default() }
    }
}

impl InstanceSlots {
    /// Waits for a slot, first for one of the namespace: who waits there takes none from other namespaces.
    pub async fn take(&self, namespace: &str) -> InstanceSlot {
        let (own, user) = self.enter(namespace);
        let of_namespace = acquire(own).await;
        let of_all = acquire(self.all.clone()).await;
        InstanceSlot { _of_all: of_all, _of_namespace: of_namespace, _user: user }
    }

    fn enter(&self, namespace: &str) -> (Arc<Semaphore>, User) {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || (Arc::new(Semaphore::new(NAMESPACE)), 0);
        let (own, users) = namespaces.entry(namespace.to_owned()).or_insert_with(new);
        *users += 1;
        let user = User { namespaces: self.namespaces.clone(), namespace: namespace.to_owned() };
        (own.clone(), user)
    }
}

async fn acquire(slots: Arc<Semaphore>) -> OwnedSemaphorePermit {
    slots.acquire_owned().await.expect("the semaphore of the slots is never closed")
}

impl Drop for User {
    fn drop(&mut self) {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, users)) = namespaces.get_mut(&self.namespace) {
            *users -= 1;
            if *users == 0 {
                namespaces.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn namespace_gets_no_more_than_its_share_and_all_no_more_than_the_limit() {
        let slots = InstanceSlots::default();
        let now = |namespace: &str| slots.take(namespace).now_or_never();
        let mut taken: Vec<_> = (0..NAMESPACE).map(|_| now("loud").expect("there are slots")).collect();
        assert!(now("loud").is_none());
        let quiet = now("quiet").expect("another namespace has its own");
        for number in 0..ALL - NAMESPACE - 1 {
            taken.push(now(&format!("one-of-many-{number}")).expect("there are slots"));
        }
        assert!(now("late").is_none());
        drop(quiet);
        assert!(now("late").is_some());
        drop(taken);
        assert!(slots.namespaces.lock().unwrap().is_empty());
        assert!((0..ALL).all(|number| now(&number.to_string()).is_some()));
    }

    #[tokio::test]
    async fn slot_goes_to_the_one_that_has_waited_longest() {
        let slots = InstanceSlots::default();
        let mut taken: Vec<_> = (0..NAMESPACE).map(|_| slots.take("n").now_or_never().unwrap()).collect();
        let (mut first, mut second) = (Box::pin(slots.take("n")), Box::pin(slots.take("n")));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        taken.pop();
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut first).now_or_never().is_some());
    }
}
