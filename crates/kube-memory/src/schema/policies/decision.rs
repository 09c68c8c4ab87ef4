//! The decision of admission policies about a request.

/// A denial by a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDenial {
    /// Name of the policy.
    pub policy: String,
    /// Name of the binding.
    pub binding: String,
    /// The message of the policy.
    pub message: String,
    /// `reason` of the answer, such as `Forbidden` or `Invalid`.
    pub reason: String,
}

impl PolicyDenial {
    /// The server's text. In a `Status` it follows `widgets.example.com "w" is forbidden: `.
    pub fn text(&self) -> String {
        let Self { policy, binding, message, .. } = self;
        format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
    }

    /// HTTP status of the answer, by the reason.
    pub fn code(&self) -> u16 {
        match self.reason.as_str() {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        }
    }
}

/// An annotation for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAnnotation {
    /// Key of the annotation.
    pub key: String,
    /// Value of the annotation.
    pub value: String,
}

/// The decision of all policies about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDecision {
    /// Denials. If there are any, the server answers with the first.
    pub denials: Vec<PolicyDenial>,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
    /// Annotations for the audit log.
    pub audit_annotations: Vec<AuditAnnotation>,
}

impl PolicyDecision {
    /// Whether no policy denies the request.
    pub fn is_allowed(&self) -> bool {
        self.denials.is_empty()
    }
}
