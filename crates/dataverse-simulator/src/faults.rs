//! Faults that a test injects into the next requests to a host.

/// How a request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is not carried out. The response has this status and a body that is not OData.
    Status {
        /// The HTTP status of the response.
        status: u16,
        /// The header `Retry-After`, as written.
        retry_after: Option<String>,
    },
    /// The request is neither carried out nor answered until [`Simulator::release_hanging`] continues it.
    ///
    /// [`Simulator::release_hanging`]: crate::Simulator::release_hanging
    Hang,
    /// The request is not carried out, and the connection is closed.
    DropBefore,
    /// The request **is carried out**, and the connection is closed without a response.
    DropAfter,
    /// The request is carried out, and the body of the response breaks off in the middle.
    Truncate,
    /// The request is not carried out. The response is 200 with malformed JSON.
    MalformedJson,
}

/// A fault for the next `times` requests to `host` that match `only`.
pub(crate) struct ArmedFault {
    pub host: String,
    pub fault: Fault,
    pub times: u32,
    /// Part of `METHOD path?query`; absent = every request.
    pub only: Option<String>,
}

/// Takes the fault for a request, if one is armed.
pub(crate) fn take(armed: &mut Vec<ArmedFault>, host: &str, line: &str) -> Option<Fault> {
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
