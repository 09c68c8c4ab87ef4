//! Sign-in: the token endpoint of Microsoft Entra ID, for client credentials.

mod assertion;
pub(crate) mod client_certificate;
mod oauth_error;
pub(crate) mod token_endpoint;
