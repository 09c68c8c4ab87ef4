//! Reads the audit log of a test cluster.

use std::fs;
use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use super::ControlPlane;
use super::servers::AUDIT_POLICY;
use super::users::User;

impl ControlPlane {
    /// The requests of `user` in the audit log. The user must be among [`super::Settings::audited`]; on the shared
    /// control plane the controller is.
    pub fn audited(&self, user: User) -> Vec<Value> {
        assert!(self.apiserver.audited.contains(&user), "{} is not audited here", user.name());
        let logs = fs::read_dir(&self.folder).expect("the folder of a control plane is there");
        let logs = logs.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let logs: Vec<_> = logs.filter(|name| name.starts_with("audit") && name != AUDIT_POLICY).collect();
        assert_eq!(logs.len(), 1, "the audit log was rotated, and this is its newest part: {logs:?}");
        let log = fs::File::open(self.apiserver.audit_log()).expect("the audit log was there a moment ago");
        // Read line by line: the whole log may be too large for memory.
        let lines = BufReader::new(log).split(b'\n').map(|line| line.expect("a file of ours can be read"));
        let mut events = Vec::new();
        for line in lines {
            match serde_json::from_slice::<Value>(&line) {
                Ok(event) if event["user"]["username"] == user.name() => events.push(event),
                Ok(_) => {}
                // The last line may be incomplete.
                Err(error) => assert!(error.is_eof(), "an audit line is no JSON: {error}"),
            }
        }
        events
    }

    /// The requests of `user` that RBAC denied, as "verb uri".
    pub fn forbidden(&self, user: User) -> Vec<String> {
        self.audited(user)
            .iter()
            .filter(|event| event["annotations"]["authorization.k8s.io/decision"] == "forbid")
            .map(|event| format!("{} {}", text(&event["verb"]), text(&event["requestURI"])))
            .collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
