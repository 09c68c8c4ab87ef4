//! Are the activities and records of many links still there? One `$batch` for hundreds of links (R23–R25, R27).

use uuid::Uuid;

use super::batch::{MOST, Read};
use super::client::Instance;
use super::error::{Error, Kind};
use super::exchange::Answer;
use super::organization::{WHO_AM_I, WhoAmI};
use super::row::{ActivityRow, RecordRef, WITH_LOOKUP_NAMES, activity_path, record_path, record_row, row};

/// One link to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRequest {
    /// The organisation it was made in. What another one says is no answer (R27).
    pub organization: Uuid,
    /// Its activity.
    pub activity: Uuid,
    /// Its record, if one is known.
    pub record: Option<RecordRef>,
}

/// What was found of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckAnswer {
    /// The activity.
    pub activity: ActivityPresence,
    /// The record.
    pub record: RecordPresence,
}

/// Whether an activity exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivityPresence {
    /// It does, and this is what it is about.
    Found(ActivityRow),
    /// The instance itself says that it does not (0x80040217).
    NotFound,
    /// Not known.
    Unknown(Error),
}

/// Whether a record exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPresence {
    /// It does.
    Found,
    /// The instance itself says that it does not (0x80040217).
    NotFound,
    /// No record was named; one the activity is regarding is to be taken for existing.
    NotAsked,
    /// Not known.
    Unknown(Error),
}

impl Instance {
    /// Looks at any number of links, at most 1,000 rows per request. One answer per request, in order.
    ///
    /// Fails only if nothing at all was learnt; once a batch has been answered, links of a later batch that fails are
    /// `Unknown` with its error.
    pub async fn check(&self, links: &[CheckRequest]) -> Result<Vec<CheckAnswer>, Error> {
        let mut answers = Vec::with_capacity(links.len());
        let mut failed: Option<Error> = None;
        for chunk in chunks(links) {
            // What stopped one batch stops the next: an instance that is down is not asked again and again.
            if let Some(error) = &failed {
                answers.extend(chunk.iter().map(|link| CheckAnswer::unknown(link, error)));
                continue;
            }
            match self.api.batch(&batch(chunk)).await {
                Ok(parts) => {
                    let mut parts = parts.iter();
                    let who = parts.next().map_or_else(|| Err(NO_PART), Answer::json::<WhoAmI>);
                    for link in chunk {
                        let answer = self.judge(link, &mut parts);
                        let wrong = match &who {
                            Ok(who) if who.organization_id == link.organization => None,
                            Ok(_) => Some(Kind::AnotherOrganization),
                            Err(kind) => Some(kind.clone()),
                        };
                        answers.push(match wrong {
                            None => answer,
                            Some(kind) => CheckAnswer::unknown(link, &self.api.error(kind)),
                        });
                    }
                }
                Err(error) if answers.is_empty() => return Err(error),
                Err(error) => {
                    answers.extend(chunk.iter().map(|link| CheckAnswer::unknown(link, &error)));
                    failed = Some(error);
                }
            }
        }
        Ok(answers)
    }

    fn judge<'a>(&self, link: &CheckRequest, parts: &mut impl Iterator<Item = &'a Answer>) -> CheckAnswer {
        let missing = || self.api.error(NO_PART);
        let activity = match parts.next().map(|part| row(part, link.activity)) {
            Some(Ok(row)) => ActivityPresence::Found(row),
            Some(Err(Kind::RecordNotFound)) => ActivityPresence::NotFound,
            Some(Err(kind)) => ActivityPresence::Unknown(self.api.error(kind)),
            None => ActivityPresence::Unknown(missing()),
        };
        let record = match &link.record {
            None => RecordPresence::NotAsked,
            Some(record) if record_path(record).is_none() => {
                RecordPresence::Unknown(self.api.error(Kind::RecordTypeUnknown))
            }
            Some(record) => match parts.next().map(|part| record_row(part, record)) {
                Some(Ok(())) => RecordPresence::Found,
                Some(Err(Kind::RecordNotFound)) => RecordPresence::NotFound,
                Some(Err(kind)) => RecordPresence::Unknown(self.api.error(kind)),
                None => RecordPresence::Unknown(missing()),
            },
        };
        CheckAnswer { activity, record }
    }
}

impl CheckAnswer {
    fn unknown(link: &CheckRequest, error: &Error) -> Self {
        let record = match link.record {
            Some(_) => RecordPresence::Unknown(error.clone()),
            None => RecordPresence::NotAsked,
        };
        Self { activity: ActivityPresence::Unknown(error.clone()), record }
    }
}

/// An answer with fewer parts than were asked for.
const NO_PART: Kind = Kind::Rubbish { status: 200, why: super::error::Rubbish::Batch };

/// Who answers, and then what about each link: in one request, because in two the URL may change hands between them.
fn batch(links: &[CheckRequest]) -> Vec<Read> {
    let who = Read { path: WHO_AM_I.to_owned(), prefer: None };
    std::iter::once(who).chain(links.iter().flat_map(reads)).collect()
}

/// The reads one link needs: its activity, and its record if that has a usable name.
fn reads(link: &CheckRequest) -> impl Iterator<Item = Read> + use<> {
    let activity = Read { path: activity_path(link.activity), prefer: Some(WITH_LOOKUP_NAMES) };
    let record = link.record.as_ref().and_then(record_path).map(|path| Read { path, prefer: None });
    std::iter::once(activity).chain(record)
}

/// As many links at a time as fit into one batch.
fn chunks(links: &[CheckRequest]) -> impl Iterator<Item = &[CheckRequest]> {
    let mut rest = links;
    std::iter::from_fn(move || {
        // Who answers is a read, too.
        let mut rows = 1;
        let fit = rest
            .iter()
            .take_while(|link| {
                rows += 1 + usize::from(link.record.is_some());
                rows <= MOST
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
    fn a_batch_never_holds_more_than_a_thousand_rows() {
        let record = |i: usize| RecordRef {
            entity_set: "leads".into(),
            id_attribute: "leadid".into(),
            id: Uuid::from_u128(i as u128),
        };
        for every in [1, 2, 3, usize::MAX] {
            let links: Vec<CheckRequest> = (0..2345)
                .map(|i| CheckRequest {
                    organization: Uuid::nil(),
                    activity: Uuid::from_u128(i as u128),
                    record: (i % every == 0).then(|| record(i)),
                })
                .collect();
            let sizes: Vec<usize> = chunks(&links).map(|c| batch(c).len()).collect();
            assert!(sizes.iter().all(|s| *s <= MOST && *s > 0));
            assert_eq!(chunks(&links).map(<[_]>::len).sum::<usize>(), links.len());
        }
    }
}
