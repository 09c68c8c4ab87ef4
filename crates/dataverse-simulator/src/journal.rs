//! The record of requests, for tests and for `simulate`'s users: who asked what, when, with which status.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

/// The record keeps this many requests; counters go on counting.
const KEPT: usize = 100_000;

/// One request, without headers and bodies: nothing secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Time of the world's clock.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Host of the connection.
    pub host: String,
    /// Path and query; a query of the Web API holds no secrets, one of the sign-in host is left out.
    pub path: String,
    /// Method and path of each operation in a batch.
    pub parts: Vec<String>,
    /// Status answered; absent while unanswered, and for ever if the connection was dropped instead.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    first: u64,
    records: VecDeque<RequestRecord>,
    counts: BTreeMap<String, u64>,
}

impl Journal {
    /// Writes a request down; the number finds it again.
    pub fn open(&mut self, record: RequestRecord) -> u64 {
        *self.counts.entry(record.host.clone()).or_default() += 1;
        if self.records.len() == KEPT {
            self.records.pop_front();
            self.first += 1;
        }
        self.records.push_back(record);
        self.first + self.records.len() as u64 - 1
    }

    pub fn close(&mut self, number: u64, status: u16) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| self.records.get_mut(index)) {
            record.status = Some(status);
        }
    }

    pub fn records(&self) -> Vec<RequestRecord> {
        self.records.iter().cloned().collect()
    }

    pub fn count(&self, host: &str) -> u64 {
        self.counts.get(host).copied().unwrap_or(0)
    }

    pub fn clear(&mut self) {
        self.first += self.records.len() as u64;
        self.records.clear();
        self.counts.clear();
    }
}
