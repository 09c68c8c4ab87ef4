//! The log of requests: what was requested when, and with which status it was answered.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

/// The log keeps this many requests. Counts include the dropped ones.
const CAPACITY: usize = 100_000;

/// One request, without headers and bodies: nothing secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// When the request arrived, by the clock of the simulator.
    pub at: Timestamp,
    /// The HTTP method.
    pub method: String,
    /// The host of the connection.
    pub host: String,
    /// Path and query; of a request to the token endpoint only the path.
    pub path: String,
    /// Method and path of each operation in a batch.
    pub parts: Vec<String>,
    /// The status of the response. Absent while the request is unanswered, and if its connection was closed instead.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    /// Number of the oldest record.
    first: u64,
    records: VecDeque<RequestRecord>,
    counts: BTreeMap<String, u64>,
}

impl RequestLog {
    /// Adds a request and returns its number, for [`RequestLog::complete`].
    pub fn add(&mut self, record: RequestRecord) -> u64 {
        *self.counts.entry(record.host.clone()).or_default() += 1;
        if self.records.len() == CAPACITY {
            self.records.pop_front();
            self.first += 1;
        }
        self.records.push_back(record);
        self.first + self.records.len() as u64 - 1
    }

    /// Sets the status of a request, unless its record has been dropped.
    pub fn complete(&mut self, number: u64, status: u16) {
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
