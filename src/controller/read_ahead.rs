//! Reads the next page of a list while the objects of the last one are handled.

use super::{list::PAGE, received::Received};
use crate::domain::backoff::Backoff;
use futures::{Stream, StreamExt};
use jiff::SignedDuration;
use kube::runtime::{watcher, watcher::Event};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
};

/// The most bytes of objects that wait to be handled; one object may always wait. As much as [`super::page_size`] allows
/// for a page, so that reading goes on while a page is handled.
const MAX_BYTES: u32 = 8 << 20;
/// Backoff of a watch that fails. The maximum is short, so that a corrected RBAC role takes effect soon.
const RETRY: Backoff =
    Backoff { first: SignedDuration::from_millis(500), max: SignedDuration::from_secs(20) };

type Item<K> = watcher::Result<Event<Received<K>>>;

/// The events of a watch, in their order. Reading ends when this is dropped.
pub struct ReadAhead<K> {
    events: mpsc::Receiver<(Item<K>, OwnedSemaphorePermit)>,
    _reader: JoinSet<()>,
}

impl<K: DeserializeOwned + 'static> ReadAhead<K> {
    pub fn watch(api: kube::Api<Received<K>>, config: watcher::Config) -> Self
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + Send,
    {
        Self::of(watcher(api, config))
    }

    fn of(events: impl Stream<Item = Item<K>> + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(PAGE as usize);
        let mut reader = JoinSet::new();
        reader.spawn(read(events, sender));
        Self { events: receiver, _reader: reader }
    }

    /// Waits for the next event; `None` after a panic of the reader.
    pub async fn next(&mut self) -> Option<Item<K>> {
        self.events.recv().await.map(|(event, _)| event)
    }
}

async fn read<K>(events: impl Stream<Item = Item<K>>, sender: mpsc::Sender<(Item<K>, OwnedSemaphorePermit)>) {
    let mut events = std::pin::pin!(events);
    let bytes = Arc::new(Semaphore::new(MAX_BYTES as usize));
    let mut failures = 0;
    while let Some(event) = events.next().await {
        // kube's own backoff resets with each attempt to list, so a missing permission would be retried every second.
        match event {
            Ok(Event::Init) => {}
            Ok(_) => failures = 0,
            Err(_) => failures += 1,
        }
        let failed = event.is_err();
        let Ok(permit) = bytes.clone().acquire_many_owned(size(&event)).await else { return };
        if sender.send((event, permit)).await.is_err() {
            return;
        }
        if failed {
            let pause = RETRY.delay(failures) + RETRY.first.mul_f64(rand::random());
            tokio::time::sleep(Duration::try_from(pause.min(RETRY.max)).unwrap_or_default()).await;
        }
    }
}

fn size<K>(event: &Item<K>) -> u32 {
    match event {
        Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
            u32::try_from(object.bytes()).unwrap_or(u32::MAX).min(MAX_BYTES)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PostLink;
    use futures::stream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn object(bytes: usize) -> Event<Received<PostLink>> {
        let padding = "x".repeat(bytes);
        let text = format!(r#"{{"metadata":{{"name":"a","annotations":{{"padding":"{padding}"}}}}}}"#);
        Event::InitApply(serde_json::from_str(&text).unwrap())
    }

    /// Events that are read while none is handled.
    async fn ahead(bytes: usize) -> usize {
        let count = Arc::new(AtomicUsize::new(0));
        let read = count.clone();
        let endless = stream::repeat_with(move || {
            read.fetch_add(1, Ordering::Relaxed);
            Ok(object(bytes))
        });
        let mut events = ReadAhead::of(endless);
        assert!(events.next().await.is_some());
        let mut before = 0;
        loop {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            let now = count.load(Ordering::Relaxed);
            if now == before {
                return now;
            }
            before = now;
        }
    }

    #[tokio::test]
    async fn reads_a_page_ahead_and_not_more() {
        let page = PAGE as usize;
        assert!((page..page + 3).contains(&ahead(10).await));
        let fit = (MAX_BYTES / 400_000) as usize;
        assert!((fit..fit + 4).contains(&ahead(400_000).await));
    }

    #[tokio::test]
    async fn object_larger_than_the_limit_is_read() {
        let large = MAX_BYTES as usize + 1;
        let mut events = ReadAhead::of(stream::iter([Ok(object(large)), Ok(object(1)), Ok(object(large))]));
        for _ in 0..3 {
            assert!(events.next().await.is_some());
        }
        assert!(events.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_longer_after_each_failure_until_an_event_arrives() {
        let failure = || Err(watcher::Error::NoResourceVersion);
        let events = [failure(), Ok(Event::Init), failure(), Ok(Event::InitDone), failure(), Ok(Event::Init)];
        let mut events: ReadAhead<PostLink> = ReadAhead::of(stream::iter(events));
        let mut pauses = Vec::new();
        let mut last = tokio::time::Instant::now();
        while events.next().await.is_some() {
            pauses.push(last.elapsed().as_millis());
            last = tokio::time::Instant::now();
        }
        let after_failures = [pauses[1], pauses[3], pauses[5]];
        assert!((500..=1000).contains(&after_failures[0]), "{pauses:?}");
        assert!((1000..=1500).contains(&after_failures[1]), "{pauses:?}");
        assert!((500..=1000).contains(&after_failures[2]), "{pauses:?}");
        assert_eq!([pauses[0], pauses[2], pauses[4]], [0, 0, 0]);
    }
}
