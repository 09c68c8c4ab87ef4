//! Registration of metric families. Each is declared once: its name, HELP text and labels go to the registry and to the
//! list that the documentation, the alerts and the dashboard are tested against.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        MetricType, TypedMetric,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry, Unit},
};
use std::{fmt::Debug, hash::Hash};

/// One metric family as a scrape shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyDescriptor {
    /// The name of its samples; those of a histogram end in `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub type_: &'static str,
    /// The HELP text.
    pub help: &'static str,
    /// The names of its labels, in order.
    pub labels: &'static [&'static str],
}

/// A label set that knows the names of its labels.
pub(super) trait Labels: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static {
    const NAMES: &'static [&'static str];
}

/// Declares label sets: structs with one field per label.
macro_rules! label_sets {
    ($($(#[$attribute:meta])* $vis:vis $name:ident {
        $($(#[$doc:meta])* $label:ident: $type:ty),+ $(,)?
    })+) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prometheus_client::encoding::EncodeLabelSet)]
        $vis struct $name { $($(#[$doc])* $vis $label: $type),+ }

        impl super::families::Labels for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    )+};
}
pub(super) use label_sets;

/// Declares a struct of metrics, each with its name and HELP text, and a constructor that registers them all.
macro_rules! metric_families {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident {
        $($field:ident: $type:ty, $metric:literal, $help:literal;)+
    }) => {
        $(#[$attribute])*
        $vis struct $name { $(pub(super) $field: $type),+ }

        impl $name {
            $vis fn register(registry: &mut super::families::FamilyRegistry) -> Self {
                Self { $($field: registry.register($metric, $help)),+ }
            }
        }
    };
}
pub(super) use metric_families;

/// What can be registered: a single metric, or a family of them with labels.
pub(super) trait Register: Metric + TypedMetric + Clone {
    const LABELS: &'static [&'static str];
    fn create() -> Self;
}

impl<N, A: Default> Register for Gauge<N, A>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = &[];
    fn create() -> Self {
        Self::default()
    }
}

impl<N, A: Default> Register for Counter<N, A>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = &[];
    fn create() -> Self {
        Self::default()
    }
}

impl<L: Labels, M: TypedMetric + Default> Register for Family<L, M>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = L::NAMES;
    fn create() -> Self {
        Self::default()
    }
}

/// The buckets of a family of histograms.
pub(super) trait Buckets: MetricConstructor<Histogram> + Clone + Default {}

impl<L: Labels, B: Buckets> Register for Family<L, Histogram, B>
where
    Self: Metric,
{
    const LABELS: &'static [&'static str] = L::NAMES;
    fn create() -> Self {
        Self::new_with_constructor(B::default())
    }
}

/// The registry of a process, with a descriptor of each family.
#[derive(Default)]
pub(super) struct FamilyRegistry {
    pub(super) registry: Registry,
    pub(super) descriptors: Vec<FamilyDescriptor>,
}

impl FamilyRegistry {
    pub(super) fn register<M: Register>(&mut self, name: &str, help: &'static str) -> M {
        let metric = M::create();
        // The library appends the suffix of a counter, the unit, and the full stop of the HELP text.
        let bare = match M::TYPE {
            MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let text = help.trim_end_matches('.');
        if let Some(bare) = bare.strip_suffix("_seconds") {
            self.registry.register_with_unit(bare, text, Unit::Seconds, metric.clone());
        } else if let Some(bare) = bare.strip_suffix("_bytes") {
            self.registry.register_with_unit(bare, text, Unit::Bytes, metric.clone());
        } else {
            self.registry.register(bare, text, metric.clone());
        }
        let (name, type_) = (name.to_owned(), M::TYPE.as_str());
        self.descriptors.push(FamilyDescriptor { name, type_, help, labels: M::LABELS });
        metric
    }
}
