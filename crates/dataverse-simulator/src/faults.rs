//! Faults a test injects into the next answers of a host.

/// What goes wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is not carried out; this status comes instead, with a body that is not `OData`.
    Status {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, as written.
        retry_after: Option<String>,
    },
    /// The request is not carried out and not answered until [`World::release_hanging`] lets it go on.
    ///
    /// [`World::release_hanging`]: super::World::release_hanging
    Hang,
    /// The connection is closed, and the request was not carried out.
    DropBefore,
    /// The request **is carried out**, then the connection is closed without an answer.
    DropAfter,
    /// The request is carried out, and the answer's body breaks off in the middle.
    Truncate,
    /// The request is not carried out; 200 with bytes that call themselves JSON.
    Garbage,
}

/// Which requests a fault hits: the next `times` to `host` that `only` matches.
pub(super) struct ArmedFault {
    pub host: String,
    pub fault: Fault,
    pub times: u32,
    /// Part of `METHOD path?query`; absent = every request.
    pub only: Option<String>,
}

/// Takes the fault for a request, if one is armed.
pub(super) fn take(armed: &mut Vec<ArmedFault>, host: &str, line: &str) -> Option<Fault> {
    let index = armed.iter().position(|fault| {
        fault.host == host && fault.only.as_ref().is_none_or(|part| line.contains(part.as_str()))
    })?;
    let found = &mut armed[index];
    let fault = found.fault.clone();
    found.times -= 1;
    if found.times == 0 {
        armed.remove(index);
    }
    Some(fault)
}
