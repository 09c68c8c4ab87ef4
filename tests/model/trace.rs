//! Prints a counterexample, step by step.

use crate::{
    protocol::State,
    reconcile::Write,
    steps::Action,
    store::{ConnectionName, Entries, RuleName},
};
use stateright::Path;
use std::fmt::{self, Write as _};

/// The steps, each with the store after it.
pub fn steps(path: &Path<State, Action>) -> String {
    let mut text = String::new();
    let steps = path.clone().into_vec();
    let mut last: Option<Action> = None;
    for (number, (state, action)) in steps.into_iter().enumerate() {
        let did = last.map_or_else(|| "initial state".to_owned(), |action| format!("{action:?}"));
        writeln!(text, "  {number:2}. {did}\n        {state:?}").expect("writing to a String does not fail");
        last = action;
    }
    text
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.removes_finalizer, self.disabled) {
            (true, _) => write!(f, "removes the finalizer"),
            (false, true) => write!(f, "{} and Disabled", Entries(self.entries)),
            (false, false) => write!(f, "{}", Entries(self.entries)),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::ToggleRule(name) => write!(f, "user switches r{name}"),
            Action::EditRule(name) => write!(f, "user edits r{name}"),
            Action::MoveRule(name) => write!(f, "user moves r{name}"),
            Action::DeleteRule(name) => write!(f, "user deletes r{name}"),
            Action::CreateRule(name) => write!(f, "user recreates r{name}"),
            Action::ToggleConnection(name) => write!(f, "user switches c{name}"),
            Action::DeleteConnection(name) => write!(f, "user deletes c{name}"),
            Action::CreateConnection(name) => write!(f, "user recreates c{name}"),
            Action::WipeRule(name) => write!(f, "r{name} loses its status"),
            Action::WipeConnection(name) => write!(f, "c{name} loses its status"),
            Action::AddFinalizer(name) => write!(f, "c{name}: adds the finalizer"),
            Action::WriteFromCache(name, [first, second], write) => {
                write!(f, "c{name}: {write:?}, cached: {first:?}")?;
                if second.exists() { write!(f, ", {second:?}") } else { Ok(()) }
            }
            Action::WriteFromList(name, write) => write!(f, "c{name}: {write:?}, on a live list"),
            Action::WriteRule(name, cached, active_on) => {
                write!(f, "r{name}: {}", Active(*active_on))?;
                match cached {
                    None => write!(f, ", its connection cached as absent"),
                    Some((uid, None)) => write!(f, ", {} cached without its entry", ConnectionName(*uid)),
                    Some((uid, Some(generation))) => {
                        write!(f, ", {} cached with {}@{generation}", ConnectionName(*uid), RuleName(*name))
                    }
                }
            }
            Action::WriteRuleLate(name, active_on) => {
                write!(f, "r{name}: {}, decided on an earlier version of it", Active(*active_on))
            }
        }
    }
}

struct Active(Option<u8>);

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(uid) => write!(f, "ACTIVE on {}", ConnectionName(uid)),
            None => write!(f, "not active"),
        }
    }
}
