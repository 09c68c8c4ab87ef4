//! `/livez` and `/readyz`: named checks, told one by one as kube-apiserver tells its own.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Looks at one thing: `Ok` or `Err` with the words for it.
type Look = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// The checks of a process; clones share them.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Checks>>);

#[derive(Default)]
struct Checks {
    live: Vec<(&'static str, Look)>,
    ready: Vec<(&'static str, Look)>,
}

/// What the checks of one endpoint say together.
#[derive(Debug)]
pub struct Verdict {
    /// Whether none failed.
    pub fine: bool,
    /// One line for each check, and one for all.
    pub text: String,
}

impl Health {
    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a check of `/livez`, or takes the place of the one of that name. A check that fails for minutes has the
    /// process restarted, so it may fail for nothing that a restart does not mend.
    pub fn live(
        &self,
        name: &'static str,
        look: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) {
        put(&mut self.checks().live, name, Arc::new(look));
    }

    /// The same for `/readyz`.
    pub fn ready(
        &self,
        name: &'static str,
        look: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) {
        put(&mut self.checks().ready, name, Arc::new(look));
    }

    /// What `/livez` says.
    pub fn livez(&self) -> Verdict {
        let checks = self.checks().live.clone();
        judge("livez", &checks)
    }

    /// What `/readyz` says.
    pub fn readyz(&self) -> Verdict {
        let checks = self.checks().ready.clone();
        judge("readyz", &checks)
    }
}

fn put(checks: &mut Vec<(&'static str, Look)>, name: &'static str, look: Look) {
    match checks.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = look,
        None => checks.push((name, look)),
    }
}

/// Asks every check, outside of the lock: one that hangs must not take the others along.
fn judge(endpoint: &str, checks: &[(&'static str, Look)]) -> Verdict {
    let mut text = String::new();
    // Nothing to check is nothing known, and nobody can be ready of whom nothing is known.
    let mut fine = endpoint == "livez" || !checks.is_empty();
    for (name, look) in checks {
        let (sign, told) = match look() {
            Ok(told) => ('+', format!("ok: {told}")),
            Err(told) => ('-', format!("failed: {told}")),
        };
        fine &= sign == '+';
        let _ = writeln!(text, "[{sign}]{name} {told}");
    }
    let _ = writeln!(text, "{endpoint} check {}", if fine { "passed" } else { "failed" });
    Verdict { fine, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_told_and_one_that_fails_fails_all() {
        let health = Health::default();
        assert!(health.livez().fine, "nothing has gone wrong yet");
        assert!(!health.readyz().fine, "nothing is known to be ready yet");
        health.ready("lease", || Ok("this process leads".to_owned()));
        health.ready("listed", || Err("PostLink is not listed yet".to_owned()));
        let verdict = health.readyz();
        assert!(!verdict.fine);
        assert_eq!(
            verdict.text,
            "[+]lease ok: this process leads\n[-]listed failed: PostLink is not listed yet\nreadyz check failed\n"
        );
        health.ready("listed", || Ok("everything is listed".to_owned()));
        assert!(health.readyz().fine, "the newer check of a name takes the older one's place");
        assert!(health.livez().fine);
    }
}
