//! Live, paginated lists, for decisions that must not rest on the index.

use super::{
    patch::{ApiError, within},
    received::Received,
};
use crate::{api::AutomationRule, domain::facts::RuleFacts};
use kube::{Api, api::ListParams};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Objects in one page of a list, as in client-go. If they are large, [`super::page_size`] asks for fewer.
pub const PAGE: u32 = 500;

/// How many lists are under way at the same time. Each keeps a page or two in memory, which may have 4 MiB.
pub const LISTS: usize = 3;

/// Limits the lists under way; clones share the slots.
#[derive(Clone)]
pub struct ListSlots(Arc<Semaphore>);

impl Default for ListSlots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LISTS)))
    }
}

impl ListSlots {
    /// Waits for a slot, which is free again when the permit is dropped.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        self.0.clone().acquire_owned().await.expect("the semaphore of the slots is never closed")
    }
}

/// The API of one namespace, or of all.
pub fn api<K>(client: &kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Lists every rule of a namespace live (§4.4), also one that cannot be decoded: it would block every connection.
pub async fn list_rules(
    client: &kube::Client,
    lists: &ListSlots,
    namespace: &str,
) -> Result<Vec<RuleFacts>, ApiError> {
    let _slot = lists.take().await;
    let api: Api<Received<AutomationRule>> = api(client, Some(namespace));
    let mut params = ListParams::default().limit(PAGE);
    let mut rules = Vec::new();
    loop {
        let page = within(api.list(&params)).await?;
        for rule in &page.items {
            rules.push(facts(rule)?);
        }
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(rules);
        }
    }
}

fn facts(rule: &Received<AutomationRule>) -> Result<RuleFacts, ApiError> {
    rule.decoded().map(|rule| RuleFacts::of(&rule)).or_else(|error| {
        let readable = rule.value().ok_or(error)?;
        Ok(RuleFacts::of_undecodable(&readable))
    })
}
