//! The input of a connection's decision. By default there are no other connections, no rules and no creations.

use crate::fixtures::{Connection, ORG, Rule, at, credentials, organization};
use jiff::Timestamp;
use postlink::{
    api::DynamicsConnection,
    domain::{
        connection::health::{MetadataFailure, Observation, ProbeAnswer, ProbeFailure, TableMetadata},
        connection::{ConnectionDecision, ConnectionView, DefaultClaim, decide},
        facts::RuleFacts,
        reservations::Clauses,
    },
};
use uuid::Uuid;

/// The last probe. By default it succeeded at `at(0)`, in [`ORG`], with both default tables.
pub struct ProbeResult(pub Observation);

pub fn probe_result() -> ProbeResult {
    let both = vec!["incident".to_owned(), "lead".to_owned()];
    ProbeResult(Observation {
        at: at(0),
        answer: ProbeAnswer::Organization {
            organization: organization(ORG),
            friendly_name: Some("Contoso".into()),
            accepts_social_data: true,
            disabled: false,
        },
        failures: 0,
        tables: Some(TableMetadata {
            read_at: at(0),
            requested: None,
            asked: both.clone(),
            usable: both,
            missing: Vec::new(),
        }),
        metadata_failure: None,
        credentials: credentials("key"),
        requested: None,
    })
}

impl ProbeResult {
    pub fn failing(mut self, failure: ProbeFailure) -> Self {
        self.0.answer = ProbeAnswer::Failure(failure);
        self.0.failures = 1;
        self
    }

    pub fn named(mut self, name: &str) -> Self {
        if let ProbeAnswer::Organization { friendly_name, .. } = &mut self.0.answer {
            *friendly_name = Some(name.into());
        }
        self
    }

    pub fn organization(mut self, id: Uuid) -> Self {
        if let ProbeAnswer::Organization { organization, .. } = &mut self.0.answer {
            organization.id = id;
        }
        self
    }

    pub fn refuses_social_data(mut self) -> Self {
        if let ProbeAnswer::Organization { accepts_social_data, .. } = &mut self.0.answer {
            *accepts_social_data = false;
        }
        self
    }

    /// The probe answered this reconcile request.
    pub fn requested(mut self, requested: &str) -> Self {
        self.0.requested = Some(requested.into());
        self
    }

    /// Later reads of the tables failed, so many times, the last time at `at`.
    pub fn metadata_failure(mut self, times: u32, at: Timestamp) -> Self {
        self.0.metadata_failure = Some(MetadataFailure { at, times });
        self
    }

    /// The tables were read for this refresh request.
    pub fn refreshed(mut self, requested: &str) -> Self {
        if let Some(tables) = &mut self.0.tables {
            tables.requested = Some(requested.into());
        }
        self
    }

    /// Of the requested tables, only these exist.
    /// The instance has only these of the default tables.
    pub fn has_only(mut self, tables: &[&str]) -> Self {
        if let Some(known) = &mut self.0.tables {
            known.usable = tables.iter().map(|t| (*t).to_owned()).collect();
            known.missing = known.asked.iter().filter(|t| !known.usable.contains(t)).cloned().collect();
        }
        self
    }

    /// Of the default tables, only this one has been read; later reads failed.
    pub fn only_read(mut self, table: &str) -> Self {
        if let Some(known) = &mut self.0.tables {
            known.asked.retain(|t| t == table);
            known.usable.retain(|t| t == table);
        }
        self.metadata_failure(3, at(0))
    }

    /// The instance has this table, but social activities cannot refer to it.
    pub fn unsupported(mut self, table: &str) -> Self {
        if let Some(known) = &mut self.0.tables {
            known.usable.retain(|t| t != table);
        }
        self
    }
}

/// The input of a decision.
pub struct View<'a> {
    now: Timestamp,
    connection: &'a DynamicsConnection,
    rules: Vec<RuleFacts>,
    live: Option<Vec<RuleFacts>>,
    claims: &'a [DefaultClaim],
    observation: Option<Observation>,
    in_flight: bool,
}

pub fn view(connection: &Connection) -> View<'_> {
    View {
        now: at(0),
        connection: &connection.0,
        rules: Vec::new(),
        live: None,
        claims: &[],
        observation: None,
        in_flight: false,
    }
}

impl<'a> View<'a> {
    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    pub fn observation(mut self, result: impl Into<Option<ProbeResult>>) -> Self {
        self.observation = result.into().map(|result| result.0);
        self
    }

    pub fn claims(mut self, claims: &'a [DefaultClaim]) -> Self {
        self.claims = claims;
        self
    }

    /// The rules in the index.
    pub fn rules(mut self, rules: &[Rule]) -> Self {
        self.rules = rules.iter().map(Rule::facts).collect();
        self
    }

    /// The rules in the index and in a live list.
    pub fn live(mut self, rules: &[Rule]) -> Self {
        self = self.rules(rules);
        self.live = Some(self.rules.clone());
        self
    }

    pub fn in_flight(mut self) -> Self {
        self.in_flight = true;
        self
    }

    pub fn decide(self) -> ConnectionDecision {
        decide(&ConnectionView {
            now: self.now,
            connection: self.connection,
            rules: &self.rules,
            live: self.live.as_deref(),
            claims: self.claims,
            observation: self.observation.as_ref(),
            creations_in_flight: self.in_flight,
            clauses: &Clauses::KEPT,
        })
    }
}
