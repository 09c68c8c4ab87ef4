//! The user behind a request.

/// Who makes a request: `UserInfo` of `authentication.k8s.io`. Admission policies and the history see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// Name of the user, such as `jane` or `system:serviceaccount:default:app`.
    pub username: String,
    /// Groups of the user, such as `system:authenticated`.
    pub groups: Vec<String>,
}

impl UserInfo {
    /// An authenticated user. A service account also gets the two groups every service account has.
    pub fn new(username: &str) -> Self {
        let mut groups = Vec::new();
        if let Some(account) = username.strip_prefix("system:serviceaccount:") {
            groups.push("system:serviceaccounts".to_owned());
            if let Some((namespace, _)) = account.split_once(':') {
                groups.push(format!("system:serviceaccounts:{namespace}"));
            }
        }
        groups.push("system:authenticated".to_owned());
        Self { username: username.to_owned(), groups }
    }

    /// The user `admin` in the group `system:masters`.
    pub fn admin() -> Self {
        Self {
            username: "admin".to_owned(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
        }
    }
}
