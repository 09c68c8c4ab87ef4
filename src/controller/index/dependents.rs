//! The objects to reconcile when a connection or a rule has changed.

use super::{
    entry::Entry,
    state::{Affected, IndexState},
};
use crate::controller::key::{Key, Kind};
use crate::domain::facts::{ConnectionFacts, RuleFacts};
use kube::ResourceExt;

impl IndexState {
    pub(super) fn affected_by_connection(
        &self,
        namespace: &str,
        name: &str,
        before: Option<&ConnectionFacts>,
        after: Option<&ConnectionFacts>,
    ) -> Affected {
        let mut affected = Affected::default();
        if before == after {
            return affected;
        }
        let Some(space) = self.namespaces.get(namespace) else { return affected };
        let uids: Vec<&str> = [before, after].into_iter().flatten().map(|c| c.uid.as_str()).collect();
        let rule_concerned = |r: &RuleFacts| {
            r.connection == name || r.active_on.as_deref().is_some_and(|uid| uids.contains(&uid))
        };
        let rules = space.rules.all().filter(|r| rule_concerned(&r.facts));
        affected.keys.extend(rules.map(|r| Key::new(Kind::AutomationRule, namespace, r.facts.name.as_str())));
        // All connections with `spec.default` depend on each other (R3).
        let claims = space.connections.values().filter(|c| c.spec.default && c.name_any() != name);
        affected.keys.extend(claims.map(|c| Key::new(Kind::DynamicsConnection, namespace, c.name_any())));
        let seen_by_links =
            |c: &ConnectionFacts| (c.uid.clone(), c.state, c.unusable, c.organization, c.name.clone());
        let links_concerned = before.map(seen_by_links) != after.map(seen_by_links);
        if links_concerned {
            let symbols = uids.into_iter().filter_map(|uid| self.interner.find(uid));
            let mut links: Vec<&Entry> = symbols.flat_map(|uid| self.links.of_connection(uid)).collect();
            // First the one that was written least recently: if the connection changes back and forth, each time only the
            // first links are written before the next change, and would otherwise be written every time.
            links.sort_by_key(|entry| entry.version);
            affected.keys.extend(links.into_iter().map(|entry| self.key(entry)));
        }
        if let Some(symbol) = self.interner.find(namespace) {
            affected.keys.extend(self.links.dependents(symbol).map(|e| self.key(e)));
        }
        affected
    }

    pub(super) fn affected_by_rule(
        &self,
        namespace: &str,
        before: Option<&RuleFacts>,
        after: Option<&RuleFacts>,
    ) -> Affected {
        let mut affected = Affected::default();
        if before == after {
            return affected;
        }
        let Some(space) = self.namespaces.get(namespace) else { return affected };
        for facts in [before, after].into_iter().flatten() {
            let concerned = space.connections.values().filter(|c| {
                c.name_any() == facts.connection
                    || facts.active_on.is_some() && facts.active_on == c.uid()
                    || c.status.iter().any(|s| s.active_rules.iter().any(|e| e.uid == facts.uid))
            });
            affected
                .keys
                .extend(concerned.map(|c| Key::new(Kind::DynamicsConnection, namespace, c.name_any())));
        }
        let uid = before.or(after).map(|f| f.uid.as_str()).unwrap_or_default();
        if let (Some(namespace), Some(rule)) = (self.interner.find(namespace), self.interner.find(uid)) {
            let lists = self.lists.with(rule);
            let matched = self.links.dependents(namespace).filter(|e| lists.contains(&e.matching().as_ptr()));
            affected.keys.extend(matched.map(|e| self.key(e)));
        }
        affected
    }
}
