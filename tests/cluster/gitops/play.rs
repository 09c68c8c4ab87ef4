//! Runs a cell: the first commit, the scenario's commit, the later one that ends what was held; and their results.

use serde_json::Value;

use super::cell::{Cell, is, message};
use super::tool::{Commit, SyncResult, Tool};
use super::tree::{Desired, RULES, Rules, Scenario, Tree, USED_BY, post};
use crate::cluster::condition;
use crate::harness::users::User;

/// The result of a commit, as in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The declared state is reached and the tool reports success, without a further commit or command.
    Converges,
    /// A person's request is denied first, with the rules' names; the same command converges the second time.
    OnceMore,
    /// A person's request is denied, with the rules' names, and nothing changes.
    Refused,
    /// Accepted; the connection works as before, and it and the rules say why.
    Held,
    /// Held although the tree deactivates the rules: the tool waits and never reaches them.
    NeedsPruneLast,
}

impl Outcome {
    /// The text in the table.
    pub fn words(self) -> &'static str {
        match self {
            Self::Converges => "converges",
            Self::OnceMore => "once more",
            Self::Refused => "denied",
            Self::Held => "held and explained",
            Self::NeedsPruneLast => "needs PruneLast",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellResult {
    pub second: Outcome,
    /// Of the later commit that deactivates the rules, if any.
    pub third: Option<Outcome>,
}

/// The commit every scenario begins with.
pub fn begin(cell: &Cell<'_>, tool: &mut dyn Tool) -> Tree {
    let tree = Tree::new(&cell.namespace, Desired::FIRST, false, tool.layout());
    let first = Commit { number: 1, previous: &Tree::default(), tree: &tree };
    let began = commit(cell, tool, &first, Desired::FIRST, false);
    assert_eq!(began, Outcome::Converges, "{}: the first commit", cell.namespace);
    tree
}

/// Runs `scenario` with `tool`; panics on what no tool may do.
pub fn play(cell: &Cell<'_>, tool: &mut dyn Tool, scenario: Scenario) -> CellResult {
    let gone = scenario == Scenario::S6;
    let layout = tool.layout();
    let second = Tree::new(&cell.namespace, scenario.second(), gone, layout);
    let third = Tree::new(&cell.namespace, scenario.third(), false, layout);
    let first = begin(cell, tool);

    let then = Commit { number: 2, previous: &first, tree: &second };
    let came = commit(cell, tool, &then, scenario.second(), gone);
    if !matches!(scenario, Scenario::S1 | Scenario::S5) {
        return CellResult { second: came, third: None };
    }
    match came {
        Outcome::Held => works_while_held(cell, scenario),
        Outcome::Refused => nothing_changed(cell),
        _ => return CellResult { second: came, third: None },
    }
    // The command was denied, not the commit: the removed objects are still to be deleted.
    let previous = if came == Outcome::Refused { &first } else { &second };
    let last = Commit { number: 3, previous, tree: &third };
    CellResult { second: came, third: Some(commit(cell, tool, &last, scenario.third(), false)) }
}

/// Runs one commit.
fn commit(
    cell: &Cell<'_>,
    tool: &mut dyn Tool,
    commit: &Commit<'_>,
    desired: Desired,
    gone: bool,
) -> Outcome {
    let result = tool.sync(cell, commit);
    eprintln!("{}: commit {}: {result:?}", cell.namespace, commit.number);
    match result {
        SyncResult::Refused(words) => {
            assert!(names_rules(&words, desired), "{}: which rules? {words}", cell.namespace);
            again(cell, tool, commit, desired, gone)
        }
        SyncResult::Waiting(words) => {
            assert!(words.contains("DynamicsConnection/northwind"), "{}: {words}", cell.namespace);
            let seen = cell.observe();
            assert!(seen.is_held(), "{}: it waits for something else:\n{}", cell.namespace, seen.summary());
            if desired.rules == Rules::Active {
                return Outcome::Held;
            }
            // Not forever: there is a documented recovery.
            assert_eq!(tool.recover(cell, commit), SyncResult::Synced, "{}: the way out", cell.namespace);
            cell.wait("the way out to lead somewhere", |seen| seen.is_converged(desired, gone).then_some(()));
            Outcome::NeedsPruneLast
        }
        result => {
            let came = cell.wait("the commit to converge or to be held", |seen| {
                if seen.is_converged(desired, gone) {
                    Some(Outcome::Converges)
                } else {
                    seen.is_held().then_some(Outcome::Held)
                }
            });
            if came == Outcome::Converges {
                let at_last = tool.final_result(cell, result);
                assert_eq!(at_last, SyncResult::Synced, "{}: commit {}", cell.namespace, commit.number);
            } else {
                // A tool that checks health names a rule that holds the connection.
                let named = |words: &str| RULES.iter().any(|rule| words.contains(rule));
                let fits = match &result {
                    SyncResult::Unhealthy(words) => tool.looks_at_health() && named(words),
                    _ => !tool.looks_at_health() && result == SyncResult::Synced,
                };
                assert!(fits, "{}: held, and the tool says {result:?}", cell.namespace);
            }
            came
        }
    }
}

/// The message names both rules; while they are being deactivated, perhaps only the remaining one.
fn names_rules(words: &str, desired: Desired) -> bool {
    let left = |rule: &str| {
        let first = "deactivate (spec.active: false) or delete the rule first";
        words.contains(&format!("is used by 1 active rule: {rule}; {first}"))
    };
    words.contains(&format!("{USED_BY}; deactivate (spec.active: false) or delete the rules first"))
        || (desired.rules != Rules::Active && RULES.iter().any(|rule| left(rule)))
}

/// Repeats a denied command once the connection has no reservation any more; immediately, if the rules stay active.
fn again(cell: &Cell<'_>, tool: &mut dyn Tool, commit: &Commit<'_>, desired: Desired, gone: bool) -> Outcome {
    let stays = desired.rules == Rules::Active;
    cell.wait("the rules to release the connection", |seen| (stays || seen.is_released()).then_some(()));
    match tool.sync(cell, commit) {
        SyncResult::Refused(words) => {
            assert!(names_rules(&words, desired), "{}: which rules? {words}", cell.namespace);
            Outcome::Refused
        }
        result => {
            assert_eq!(result, SyncResult::Synced, "{}: the same command again", cell.namespace);
            cell.wait("the same command to do it", |seen| seen.is_converged(desired, gone).then_some(()));
            Outcome::OnceMore
        }
    }
}

/// R8, §4.6: until the rules release it the connection keeps working, and says who uses it.
fn works_while_held(cell: &Cell<'_>, scenario: Scenario) {
    let late = post(&cell.namespace, "late", false);
    cell.cluster.plane.kubectl_apply_text(User::Alice, &late.to_string()).ok();
    cell.wait("a post that arrives meanwhile to be linked", |seen| {
        let post = seen.post("late")?;
        let linked = condition(post, "Linked") == Some(("True", "LinkedByRule"));
        (linked && is(post, "RecordAvailable", ("True", "RecordAvailable"))).then_some(())
    });
    let seen = cell.observe();
    assert!(seen.is_held(), "{}: it was held a moment ago:\n{}", cell.namespace, seen.summary());
    let what = if scenario == Scenario::S1 { "Deleting" } else { "Disabling" };
    for rule in &seen.rules {
        let words = message(rule, "Ready");
        let wanted = format!("{what} connection northwind is blocked because this rule is active");
        assert!(words.starts_with(&wanted), "{words}");
    }
    // This post is in no tree, so it would not meet what the last commit expects of all posts.
    cell.cluster.plane.kubectl_with_input(User::Alice, ["delete", "-f", "-"], &late.to_string()).ok();
}

/// A denied command has changed nothing.
fn nothing_changed(cell: &Cell<'_>) {
    let seen = cell.observe();
    assert!(seen.is_converged(Desired::FIRST, false), "{}:\n{}", cell.namespace, seen.summary());
    let connection = seen.connection.expect("it is as wished");
    assert_eq!(connection["metadata"]["deletionTimestamp"], Value::Null);
    assert_eq!(condition(&connection, "DeletionRefused"), None);
    assert_eq!(condition(&connection, "DisableRefused"), None);
}
