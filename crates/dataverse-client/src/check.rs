//! Reads many activities and their records in one `$batch`.

use uuid::Uuid;

use crate::batch::{MAX_READS, Read};
use crate::client::Instance;
use crate::error::{Error, ErrorKind, UnexpectedResponse};
use crate::organization::{WHO_AM_I, WhoAmI};
use crate::row::{
    ActivityRow, LOOKUP_NAMES, RecordPresence, RecordRef, activity_path, parse_activity, parse_record,
    record_path,
};
use crate::transport::HttpResponse;

/// An activity to read, and optionally its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRequest {
    /// The organization it belongs to. Responses of another organization are not used: after a reset or copy of the
    /// environment every row would seem to be missing.
    pub organization: Uuid,
    /// Id of the activity.
    pub activity: Uuid,
    /// The record, if it is to be read too.
    pub record: Option<RecordRef>,
}

/// The result of one [`CheckRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// Whether the activity exists, and its row.
    pub activity: ActivityPresence,
    /// Whether the record exists.
    pub record: RecordPresence,
}

/// Whether an activity exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivityPresence {
    /// The activity exists: its row.
    Found(ActivityRow),
    /// Dataverse reports that the activity does not exist (0x80040217).
    NotFound,
    /// The read failed; says nothing about the activity.
    Unknown(Error),
}

impl Instance {
    /// Reads any number of activities and records, 1,000 rows per batch. The results are in the order of the requests.
    ///
    /// An error means that the first batch failed. If a later one fails, the remaining results are `Unknown`.
    pub async fn check(&self, requests: &[CheckRequest]) -> Result<Vec<CheckResult>, Error> {
        let mut results = Vec::with_capacity(requests.len());
        let mut failed: Option<Error> = None;
        for chunk in chunks(requests) {
            // An instance that is down is not sent the remaining batches.
            if let Some(error) = &failed {
                results.extend(chunk.iter().map(|request| CheckResult::unknown(request, error)));
                continue;
            }
            match self.api.batch(&batch(chunk)).await {
                Ok(parts) => {
                    let mut parts = parts.iter();
                    let who = parts.next().map_or_else(|| Err(NO_PART), HttpResponse::json::<WhoAmI>);
                    for request in chunk {
                        let result = self.check_result(request, &mut parts);
                        let wrong = match &who {
                            Ok(who) if who.organization_id == request.organization => None,
                            Ok(_) => Some(ErrorKind::OrganizationMismatch),
                            Err(kind) => Some(kind.clone()),
                        };
                        results.push(match wrong {
                            None => result,
                            Some(kind) => CheckResult::unknown(request, &self.api.error(kind)),
                        });
                    }
                }
                Err(error) if results.is_empty() => return Err(error),
                Err(error) => {
                    results.extend(chunk.iter().map(|request| CheckResult::unknown(request, &error)));
                    failed = Some(error);
                }
            }
        }
        Ok(results)
    }

    fn check_result<'a>(
        &self,
        request: &CheckRequest,
        parts: &mut impl Iterator<Item = &'a HttpResponse>,
    ) -> CheckResult {
        let missing = || self.api.error(NO_PART);
        let activity = match parts.next().map(|part| parse_activity(part, request.activity)) {
            Some(Ok(row)) => ActivityPresence::Found(row),
            Some(Err(ErrorKind::RecordNotFound)) => ActivityPresence::NotFound,
            Some(Err(kind)) => ActivityPresence::Unknown(self.api.error(kind)),
            None => ActivityPresence::Unknown(missing()),
        };
        let record = match &request.record {
            None => RecordPresence::NotRequested,
            Some(record) if record_path(record).is_none() => {
                RecordPresence::Unknown(self.api.error(ErrorKind::UnknownTable))
            }
            Some(record) => match parts.next().map(|part| parse_record(part, record)) {
                Some(Ok(())) => RecordPresence::Found,
                Some(Err(ErrorKind::RecordNotFound)) => RecordPresence::NotFound,
                Some(Err(kind)) => RecordPresence::Unknown(self.api.error(kind)),
                None => RecordPresence::Unknown(missing()),
            },
        };
        CheckResult { activity, record }
    }
}

impl CheckResult {
    fn unknown(request: &CheckRequest, error: &Error) -> Self {
        let record = match request.record {
            Some(_) => RecordPresence::Unknown(error.clone()),
            None => RecordPresence::NotRequested,
        };
        Self { activity: ActivityPresence::Unknown(error.clone()), record }
    }
}

/// Not reached: `Api::batch` has checked the number of parts.
const NO_PART: ErrorKind =
    ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::IncompleteBatch };

/// `WhoAmI` and the rows in one batch, so that the organization cannot change between them.
fn batch(requests: &[CheckRequest]) -> Vec<Read> {
    let who = Read { path: WHO_AM_I.to_owned(), prefer: None };
    std::iter::once(who).chain(requests.iter().flat_map(reads)).collect()
}

/// The reads of one request: the activity, and the record if its names are valid.
fn reads(request: &CheckRequest) -> impl Iterator<Item = Read> + use<> {
    let activity = Read { path: activity_path(request.activity), prefer: Some(LOOKUP_NAMES) };
    let record = request.record.as_ref().and_then(record_path).map(|path| Read { path, prefer: None });
    std::iter::once(activity).chain(record)
}

/// The requests, in chunks that fit into one batch.
fn chunks(requests: &[CheckRequest]) -> impl Iterator<Item = &[CheckRequest]> {
    let mut rest = requests;
    std::iter::from_fn(move || {
        // `WhoAmI` is a read, too.
        let mut rows = 1;
        let fit = rest
            .iter()
            .take_while(|request| {
                rows += 1 + usize::from(request.record.is_some());
                rows <= MAX_READS
            })
            .count();
        let (chunk, after) = rest.split_at(fit);
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_at_most_1000_rows() {
        let record = |i: usize| RecordRef {
            entity_set: "leads".into(),
            id_attribute: "leadid".into(),
            id: Uuid::from_u128(i as u128),
        };
        for every in [1, 2, 3, usize::MAX] {
            let requests: Vec<CheckRequest> = (0..2345)
                .map(|i| CheckRequest {
                    organization: Uuid::nil(),
                    activity: Uuid::from_u128(i as u128),
                    record: (i % every == 0).then(|| record(i)),
                })
                .collect();
            let sizes: Vec<usize> = chunks(&requests).map(|c| batch(c).len()).collect();
            assert!(sizes.iter().all(|s| *s <= MAX_READS && *s > 0));
            assert_eq!(chunks(&requests).map(<[_]>::len).sum::<usize>(), requests.len());
        }
    }
}
