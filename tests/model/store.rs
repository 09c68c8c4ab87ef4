//! The state of the API server that the protocol depends on, compact enough to keep millions of them.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// Maximum number of rules and of connections. A name is its slot number.
pub const SLOTS: usize = 2;
/// Maximum number of UIDs per kind: an object and its successor for each name.
pub const UIDS: usize = 2 * SLOTS;

/// The slot of the object with this UID.
pub fn slot(uid: u8) -> usize {
    usize::from(uid) % SLOTS
}

/// How many objects of the same name existed before this one.
pub fn incarnation(uid: u8) -> u8 {
    uid / 2
}

/// An `AutomationRule`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `metadata.uid`: the slot, plus two for each earlier object of the name.
    pub uid: u8,
    /// `metadata.generation`; 0 if the rule does not exist.
    pub generation: u8,
    /// `spec.active`.
    pub active: bool,
    /// `spec.connectionRef.name`.
    pub names: u8,
    /// `status.connectionUID`, while its `Active` is True.
    pub active_on: Option<u8>,
}

impl Rule {
    /// A name without an object.
    pub fn absent(uid: u8) -> Self {
        Self { uid, generation: 0, active: false, names: 0, active_on: None }
    }

    pub fn exists(self) -> bool {
        self.generation > 0
    }

    /// Whether it wants to be active through the connection of that name.
    pub fn wants(self, connection: usize) -> bool {
        self.exists() && self.active && usize::from(self.names) == connection
    }

    fn packed(self) -> u32 {
        u32::from_le_bytes([
            self.uid | self.names << 4,
            self.generation,
            u8::from(self.active),
            self.active_on.map_or(0xff, |uid| uid),
        ])
    }
}

impl Hash for Rule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.packed());
    }
}

/// A `DynamicsConnection`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts of one stored object")]
pub struct Connection {
    /// `metadata.uid`: the slot, plus two for each earlier object of the name.
    pub uid: u8,
    pub exists: bool,
    /// Has our finalizer.
    pub finalizer: bool,
    /// A deletionTimestamp is set.
    pub deleting: bool,
    /// `spec.enabled`.
    pub enabled: bool,
    /// `status.state` is Disabled.
    pub disabled: bool,
    /// `status.activeRules`: the generation of each rule's entry, by the rule's UID; 0 if it has none.
    pub entries: [u8; UIDS],
}

impl Connection {
    /// As a user creates it.
    pub fn new(uid: u8, enabled: bool) -> Self {
        Self {
            uid,
            exists: true,
            finalizer: false,
            deleting: false,
            enabled,
            disabled: false,
            entries: [0; UIDS],
        }
    }

    /// A name without an object.
    pub fn absent(uid: u8) -> Self {
        Self { exists: false, ..Self::new(uid, true) }
    }

    /// Whether there are no entries.
    pub fn empty(&self) -> bool {
        self.entries == [0; UIDS]
    }

    /// Whether a reservation may be written (§4.3).
    pub fn open(&self) -> bool {
        self.exists && self.finalizer && !self.deleting && self.enabled
    }

    fn packed(&self) -> u64 {
        let bits = [self.exists, self.finalizer, self.deleting, self.enabled, self.disabled];
        let bits = bits.iter().fold(0, |all, bit| all << 1 | u8::from(*bit));
        let [a, b, c, d] = self.entries;
        u64::from_le_bytes([self.uid, bits, a, b, c, d, 0, 0])
    }
}

impl Hash for Connection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.packed());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Store {
    pub rules: [Rule; SLOTS],
    pub connections: [Connection; SLOTS],
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = RuleName(self.uid);
        if !self.exists() {
            return write!(f, "{name} absent");
        }
        let wants = if self.active { "wants" } else { "does not want" };
        write!(f, "{name}@{} {wants} c{}", self.generation, self.names)?;
        match self.active_on {
            Some(uid) => write!(f, " ACTIVE on {}", ConnectionName(uid)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ConnectionName(self.uid);
        if !self.exists {
            return write!(f, "{name} absent");
        }
        write!(f, "{name}")?;
        for (holds, word) in [
            (!self.finalizer, "no-finalizer"),
            (self.deleting, "deleting"),
            (!self.enabled, "enabled:false"),
            (self.disabled, "DISABLED"),
        ] {
            if holds {
                write!(f, " {word}")?;
            }
        }
        write!(f, " {}", Entries(self.entries))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections =
            self.connections.iter().filter(|c| c.exists || incarnation(c.uid) > 0 || c.uid == 0);
        for connection in connections {
            write!(f, "{connection:?}; ")?;
        }
        let rules = self.rules.iter().filter(|r| r.exists() || incarnation(r.uid) > 0 || r.uid == 0);
        for (i, rule) in rules.enumerate() {
            write!(f, "{}{rule:?}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// `r1`, and `r1'` when it was created again.
pub struct RuleName(pub u8);

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}{}", slot(self.0), if incarnation(self.0) > 0 { "'" } else { "" })
    }
}

/// `c1`, and `c1'` when it was created again.
pub struct ConnectionName(pub u8);

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}{}", slot(self.0), if incarnation(self.0) > 0 { "'" } else { "" })
    }
}

/// `[r0@1 r1@3]`.
pub struct Entries(pub [u8; UIDS]);

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        write!(f, "[")?;
        for (uid, generation) in (0_u8..).zip(self.0).filter(|(_, generation)| *generation > 0) {
            write!(f, "{separator}{}@{generation}", RuleName(uid))?;
            separator = " ";
        }
        write!(f, "]")
    }
}
