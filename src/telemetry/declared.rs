//! Families of metrics, each declared once: its name, help and labels go to the registry and to the list that the
//! documentation, the alerts and the dashboard are checked against.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        MetricType, TypedMetric,
        family::{Family, MetricConstructor},
    },
    registry::{Metric, Registry, Unit},
};
use std::{fmt::Debug, hash::Hash};

/// One family, as a scrape shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The name its samples have; a histogram's have `_bucket`, `_sum` and `_count` behind it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub type_: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
}

/// A set of labels that knows its names.
pub(super) trait Labels: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// The names, in order.
    const NAMES: &'static [&'static str];
}

/// Declares sets of labels: structs that are encoded field by field.
macro_rules! label_sets {
    ($($(#[$doc:meta])* $name:ident { $($label:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
        pub(super) struct $name { $(pub(super) $label: $type),+ }

        impl super::declared::Labels for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    )+};
}
pub(super) use label_sets;

/// Collects the families of a process.
#[derive(Default)]
pub(super) struct Families {
    pub(super) registry: Registry,
    pub(super) list: Vec<Declared>,
}

impl Families {
    /// A family with labels.
    pub(super) fn with<L, M, C>(
        &mut self,
        name: &str,
        help: &'static str,
        family: Family<L, M, C>,
    ) -> Family<L, M, C>
    where
        L: Labels,
        M: Metric + TypedMetric,
        C: MetricConstructor<M> + Clone + Send + Sync + 'static,
        Family<L, M, C>: Metric,
    {
        self.declare::<M>(name, help, L::NAMES, family.clone());
        family
    }

    /// A single metric.
    pub(super) fn one<M: Metric + TypedMetric + Clone + Default>(
        &mut self,
        name: &str,
        help: &'static str,
    ) -> M {
        let metric = M::default();
        self.declare::<M>(name, help, &[], metric.clone());
        metric
    }

    fn declare<M: TypedMetric>(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &'static [&'static str],
        metric: impl Metric,
    ) {
        // The library writes a counter's suffix, a unit's, and a help's full stop itself.
        let bare =
            if matches!(M::TYPE, MetricType::Counter) { name.trim_end_matches("_total") } else { name };
        let (bare, unit) = match (bare.strip_suffix("_seconds"), bare.strip_suffix("_bytes")) {
            (Some(bare), _) => (bare, Some(Unit::Seconds)),
            (_, Some(bare)) => (bare, Some(Unit::Bytes)),
            _ => (bare, None),
        };
        let text = help.trim_end_matches('.');
        match unit {
            Some(unit) => self.registry.register_with_unit(bare, text, unit, metric),
            None => self.registry.register(bare, text, metric),
        }
        self.list.push(Declared { name: name.to_owned(), type_: M::TYPE.as_str(), help, labels });
    }
}
