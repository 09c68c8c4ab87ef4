//! Whether another live installation watches a namespace of this one. Then two leaders reconcile the same objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// A renewal may be this much later than the duration of its Lease.
const SLACK: Duration = Duration::from_secs(10);

/// Namespaces that a message names; the rest is a number.
const SHOWN: usize = 10;

/// Whether a text can be the name of a namespace.
fn is_namespace(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(allowed)
}

/// The Lease of another installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLease {
    pub namespace: String,
    /// Empty if released.
    pub holder: String,
    /// As text: the time need not be readable.
    pub renewed: Option<String>,
    pub duration: Duration,
    pub watched: Watched,
}

/// The namespaces that an installation watches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    All,
    Only(BTreeSet<String>),
}

impl Watched {
    /// From names; none means all.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        // Anyone who may write a Lease chooses them.
        let names: BTreeSet<String> = names.into_iter().filter(|name| is_namespace(name)).collect();
        if names.is_empty() { Self::All } else { Self::Only(names) }
    }

    /// The namespaces of both.
    fn shared(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::All, other) => Some(other.clone()),
            (own, Self::All) => Some(own.clone()),
            (Self::Only(ours), Self::Only(others)) => {
                let both: BTreeSet<String> = ours.intersection(others).cloned().collect();
                (!both.is_empty()).then_some(Self::Only(both))
            }
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Only(names) => {
                let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
                f.write_str(&shown.join(", "))?;
                match names.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

/// A live installation, and the namespaces that it has in common with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The namespace of its Lease.
    pub lease: String,
    pub shared: Watched,
}

/// What was seen of the other Leases.
#[derive(Clone, Debug, Default)]
pub struct OtherLeases(BTreeMap<String, Seen>);

#[derive(Clone, Debug)]
struct Seen {
    holder: String,
    renewed: Option<String>,
    /// When it was seen renewed. The clocks of two machines may differ, so the time in the Lease says only that it changed.
    at: Option<Duration>,
}

impl OtherLeases {
    /// Adds what was read at `now`, which a clock that never jumps has measured. An installation is live if its Lease was
    /// seen renewed and has not expired since, so none is at the first look.
    pub fn observe(&mut self, own: &Watched, leases: &[OtherLease], now: Duration) -> Vec<Overlap> {
        self.0.retain(|namespace, _| leases.iter().any(|lease| lease.namespace == *namespace));
        let mut found = Vec::new();
        for lease in leases {
            let before = self.0.get(&lease.namespace);
            let at = match before {
                Some(seen) if seen.holder == lease.holder && seen.renewed == lease.renewed => seen.at,
                Some(_) => Some(now),
                None => None,
            };
            let seen = Seen { holder: lease.holder.clone(), renewed: lease.renewed.clone(), at };
            self.0.insert(lease.namespace.clone(), seen);
            let expires = at.map(|at| at + lease.duration + SLACK);
            let live = !lease.holder.is_empty() && expires.is_some_and(|expires| now <= expires);
            if let Some(shared) = own.shared(&lease.watched).filter(|_| live) {
                found.push(Overlap { lease: lease.namespace.clone(), shared });
            }
        }
        found
    }
}
