//! `/livez` and `/readyz`: named checks, listed one by one like those of kube-apiserver.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Passes with `Ok` or fails with `Err`; either has a text for the report.
type Check = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// The health checks of a process; clones share them.
#[derive(Clone, Default)]
pub struct HealthChecks(Arc<Mutex<Checks>>);

#[derive(Default)]
struct Checks {
    livez: Vec<(&'static str, Check)>,
    readyz: Vec<(&'static str, Check)>,
}

/// The result of all checks of one endpoint.
#[derive(Debug)]
pub struct HealthReport {
    /// Whether all passed.
    pub passed: bool,
    /// One line per check and a summary.
    pub text: String,
}

impl HealthChecks {
    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a check to `/livez`, or replaces the one of that name. The kubelet restarts a process whose check keeps
    /// failing, so a check may fail only for what a restart can repair.
    pub fn add_livez_check(
        &self,
        name: &'static str,
        check: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) {
        add(&mut self.checks().livez, name, Arc::new(check));
    }

    /// Adds a check to `/readyz`, or replaces the one of that name.
    pub fn add_readyz_check(
        &self,
        name: &'static str,
        check: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) {
        add(&mut self.checks().readyz, name, Arc::new(check));
    }

    /// Runs the checks of `/livez`.
    pub fn livez(&self) -> HealthReport {
        let checks = self.checks().livez.clone();
        run("livez", &checks, true)
    }

    /// Runs the checks of `/readyz`. Without any check, readyz fails: readiness is unknown.
    pub fn readyz(&self) -> HealthReport {
        let checks = self.checks().readyz.clone();
        run("readyz", &checks, !checks.is_empty())
    }
}

fn add(checks: &mut Vec<(&'static str, Check)>, name: &'static str, check: Check) {
    match checks.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = check,
        None => checks.push((name, check)),
    }
}

/// Runs every check, without the lock: a check that hangs must not block the other endpoint.
fn run(endpoint: &str, checks: &[(&'static str, Check)], mut passed: bool) -> HealthReport {
    let mut text = String::new();
    for (name, check) in checks {
        let (sign, result) = match check() {
            Ok(text) => ('+', format!("ok: {text}")),
            Err(text) => ('-', format!("failed: {text}")),
        };
        passed &= sign == '+';
        let _ = writeln!(text, "[{sign}]{name} {result}");
    }
    let _ = writeln!(text, "{endpoint} check {}", if passed { "passed" } else { "failed" });
    HealthReport { passed, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_checks_are_listed_and_any_can_fail() {
        let health = HealthChecks::default();
        assert!(health.livez().passed, "no check has failed");
        assert!(!health.readyz().passed, "readiness is unknown");
        health.add_readyz_check("process", || Ok("active".to_owned()));
        health.add_readyz_check("informer-sync", || Err("not listed yet: PostLink".to_owned()));
        let report = health.readyz();
        assert!(!report.passed);
        assert_eq!(
            report.text,
            "[+]process ok: active\n[-]informer-sync failed: not listed yet: PostLink\nreadyz check failed\n"
        );
        health.add_readyz_check("informer-sync", || Ok("all kinds are listed".to_owned()));
        assert!(health.readyz().passed, "a check replaces the earlier one of its name");
        assert!(health.livez().passed);
    }
}
