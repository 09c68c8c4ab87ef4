//! Reads the next page of a list while the objects of the last one are handled.

use super::{
    list::{ListSlots, PAGE},
    received::Received,
};
use crate::domain::backoff::Backoff;
use futures::{FutureExt, Stream, StreamExt};
use jiff::SignedDuration;
use kube::runtime::{watcher, watcher::Event};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, sync::Arc, time::Duration, vec};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
};

/// The most bytes of objects that wait to be handled; one object may always wait. As much as [`super::page_size`] allows
/// for a page, so that reading goes on while a page is handled.
const MAX_BYTES: usize = 4 << 20;
/// Events are handed over in batches: waking the other task for each would take as long as handling it.
const BATCH: usize = 50;
const BATCH_BYTES: usize = MAX_BYTES / 8;
/// Backoff of a watch that fails. The maximum is short, so that a corrected RBAC role takes effect soon.
const RETRY: Backoff =
    Backoff { first: SignedDuration::from_millis(500), max: SignedDuration::from_secs(20) };

type Item<K> = watcher::Result<Event<Received<K>>>;

/// Events, and the permit for the bytes of their objects.
type Batch<K> = (Vec<Item<K>>, OwnedSemaphorePermit);

/// The events of a watch, in their order. Reading ends when this is dropped.
pub struct ReadAhead<K> {
    batches: mpsc::Receiver<Batch<K>>,
    /// Those of the last batch.
    events: vec::IntoIter<Item<K>>,
    permit: Option<OwnedSemaphorePermit>,
    _reader: JoinSet<()>,
}

impl<K: DeserializeOwned + 'static> ReadAhead<K> {
    /// `lists` limits how many watches list at the same time.
    pub fn watch(api: kube::Api<Received<K>>, config: watcher::Config, lists: ListSlots) -> Self
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + Send,
    {
        Self::of(watcher(api, config), lists)
    }

    fn of(events: impl Stream<Item = Item<K>> + Send + 'static, lists: ListSlots) -> Self {
        let (sender, batches) = mpsc::channel(PAGE as usize / BATCH);
        let mut reader = JoinSet::new();
        reader.spawn(read(events, sender, lists));
        Self { batches, events: Vec::new().into_iter(), permit: None, _reader: reader }
    }

    /// Waits for the next event; `None` after a panic of the reader.
    pub async fn next(&mut self) -> Option<Item<K>> {
        loop {
            if let Some(event) = self.events.next() {
                return Some(event);
            }
            self.permit = None;
            let (events, permit) = self.batches.recv().await?;
            (self.events, self.permit) = (events.into_iter(), Some(permit));
        }
    }
}

async fn read<K>(events: impl Stream<Item = Item<K>>, sender: mpsc::Sender<Batch<K>>, lists: ListSlots) {
    let mut events = std::pin::pin!(events);
    let waiting = Arc::new(Semaphore::new(MAX_BYTES));
    let (mut failures, mut listing) = (0, None);
    while let Some(first) = events.next().await {
        let (mut bytes, mut batch) = (size(&first), vec![first]);
        // Nothing is read ahead of an attempt to list: a slot comes first, or the pause after a failure.
        while batch.len() < BATCH
            && bytes < BATCH_BYTES
            && !matches!(batch.last(), Some(Ok(Event::Init) | Err(_)))
            && let Some(Some(event)) = events.next().now_or_never()
        {
            bytes += size(&event);
            batch.push(event);
        }
        // kube's own backoff resets with each attempt to list, so a missing permission would be retried every second.
        for event in &batch {
            match event {
                Ok(Event::Init) => {}
                Ok(_) => failures = 0,
                Err(_) => failures += 1,
            }
            if matches!(event, Ok(Event::InitDone) | Err(_)) {
                listing = None;
            }
        }
        let begins = matches!(batch.last(), Some(Ok(Event::Init)));
        let failed = batch.last().is_some_and(Result::is_err);
        let permits = u32::try_from(bytes.min(MAX_BYTES)).unwrap_or(u32::MAX);
        let Ok(permit) = waiting.clone().acquire_many_owned(permits).await else { return };
        if sender.send((batch, permit)).await.is_err() {
            return;
        }
        if begins && listing.is_none() {
            listing = Some(lists.take().await);
        }
        if failed {
            let pause = RETRY.delay(failures) + RETRY.first.mul_f64(rand::random());
            tokio::time::sleep(Duration::try_from(pause.min(RETRY.max)).unwrap_or_default()).await;
        }
    }
}

fn size<K>(event: &Item<K>) -> usize {
    match event {
        Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => object.bytes(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::PostLink, controller::list::LISTS};
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
        let mut events = ReadAhead::of(endless, ListSlots::default());
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
        assert!((page..=page + 2 * BATCH).contains(&ahead(10).await));
        let fit = MAX_BYTES / 400_000;
        let batch = BATCH_BYTES / 400_000 + 1;
        assert!((fit - batch..=fit + 2 * batch).contains(&ahead(400_000).await));
    }

    #[tokio::test]
    async fn object_larger_than_the_limit_is_read() {
        let large = MAX_BYTES + 1;
        let mut events = ReadAhead::of(
            stream::iter([Ok(object(large)), Ok(object(1)), Ok(object(large))]),
            ListSlots::default(),
        );
        for _ in 0..3 {
            assert!(events.next().await.is_some());
        }
        assert!(events.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_longer_after_each_failure_until_an_event_arrives() {
        let failure = || Err(watcher::Error::NoResourceVersion);
        let events = [failure(), Ok(Event::Init), failure(), Ok(Event::InitDone), failure(), Ok(Event::Init)];
        let mut events: ReadAhead<PostLink> = ReadAhead::of(stream::iter(events), ListSlots::default());
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

    #[tokio::test]
    async fn few_watches_list_at_the_same_time() {
        let lists = ListSlots::default();
        let others: Vec<_> = (0..LISTS).map(|_| lists.take().now_or_never().expect("it is free")).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let requests = asked.clone();
        let list = stream::iter([Ok(Event::Init)]).chain(stream::once(async move {
            requests.fetch_add(1, Ordering::Relaxed);
            Ok(Event::InitDone)
        }));
        let mut events: ReadAhead<PostLink> = ReadAhead::of(list, lists.clone());
        assert!(matches!(events.next().await, Some(Ok(Event::Init))));
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 0, "it waits for one of the others");
        drop(others);
        assert!(matches!(events.next().await, Some(Ok(Event::InitDone))));
        let free: Vec<_> = (0..LISTS).filter_map(|_| lists.take().now_or_never()).collect();
        assert_eq!(free.len(), LISTS, "its slot is free after the list");
    }
}
