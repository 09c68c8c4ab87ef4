//! R1: reads the credentials of a connection. Secrets are read by name, in the connection's namespace, for each probe, and
//! not stored.

use crate::{
    api::{DynamicsConnection, WorkloadIdentity, names::CONTROLLER, normal_url},
    controller::{patch::DEADLINE, received::Received},
    domain::connection::health::ProbeFailure,
};
use dataverse_client::SecretString;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, ResourceExt, api::PostParams};

/// The audience that Microsoft Entra requires in a federated token.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The longest value of a key, in bytes: a Secret may have 1 MiB, of which each connection that names it would keep a copy.
/// A certificate with its chain has a few KiB.
const MAX_VALUE: usize = 32 << 10;

/// Why the credentials could not be read.
pub enum CredentialsError {
    /// A user has to correct them.
    Unusable(ProbeFailure),
    /// The API server did not respond.
    Unanswered,
}

pub async fn read(
    client: &kube::Client,
    connection: &DynamicsConnection,
) -> Result<dataverse_client::Credentials, CredentialsError> {
    let namespace = connection.namespace().unwrap_or_default();
    let spec = &connection.spec.credentials;
    match (&spec.secret_ref, &spec.workload_identity) {
        (Some(secret), _) => {
            let api: Api<Received<Secret>> = Api::namespaced(client.clone(), &namespace);
            let answer = tokio::time::timeout(DEADLINE, api.get_opt(&secret.name)).await;
            match answer {
                Ok(Ok(Some(stored))) => match stored.decode() {
                    Ok(stored) => from_secret(&secret.name, &stored, &connection.spec.instance_url),
                    Err(fault) => {
                        Err(invalid(format!("Secret {} cannot be read: {fault}; correct it", secret.name)))
                    }
                },
                Ok(Ok(None)) => {
                    Err(CredentialsError::Unusable(ProbeFailure::SecretNotFound(secret.name.clone())))
                }
                Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(invalid(format!(
                    "the controller is not allowed to read Secret {}; grant it `get` on secrets in this namespace",
                    secret.name
                ))),
                _ => Err(CredentialsError::Unanswered),
            }
        }
        (None, Some(identity)) => federated(client, &namespace, identity).await,
        (None, None) => Err(invalid(
            "spec.credentials has neither secretRef nor workloadIdentity; set one of them".into(),
        )),
    }
}

fn invalid(why: String) -> CredentialsError {
    CredentialsError::Unusable(ProbeFailure::SecretInvalid(why))
}

fn from_secret(
    name: &str,
    secret: &Secret,
    instance_url: &str,
) -> Result<dataverse_client::Credentials, CredentialsError> {
    let value = |key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        std::str::from_utf8(&bytes.0).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    for key in ["clientSecret", "tls.crt", "tls.key"] {
        if value(key).is_some_and(|text| text.len() > MAX_VALUE) {
            return Err(invalid(format!(
                "the key {key} of Secret {name} is longer than {MAX_VALUE} bytes; replace it by the credential itself"
            )));
        }
    }
    let required =
        |key: &str| value(key).ok_or_else(|| invalid(format!("Secret {name} has no key {key}; add it")));
    if let Some(bound) = value("instanceUrl")
        && normal_url(&bound) != normal_url(instance_url)
    {
        return Err(invalid(format!(
            "the key instanceUrl of Secret {name} names another instance; use a Secret for this instance"
        )));
    }
    let (tenant_id, client_id) = (required("tenantId")?, required("clientId")?);
    if let Some(secret) = value("clientSecret") {
        return Ok(dataverse_client::Credentials::ClientSecret {
            tenant_id,
            client_id,
            secret: SecretString::from(secret),
        });
    }
    match (value("tls.crt"), value("tls.key")) {
        (Some(certificate), Some(key)) => Ok(dataverse_client::Credentials::Certificate {
            tenant_id,
            client_id,
            pem: SecretString::from(format!("{certificate}\n{key}\n")),
        }),
        _ => Err(invalid(format!(
            "Secret {name} has neither clientSecret nor tls.crt and tls.key; add one of them"
        ))),
    }
}

async fn federated(
    client: &kube::Client,
    namespace: &str,
    identity: &WorkloadIdentity,
) -> Result<dataverse_client::Credentials, CredentialsError> {
    let name = &identity.service_account_name;
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    let answer = tokio::time::timeout(DEADLINE, api.create_token_request(name, &params, &request)).await;
    match answer {
        Ok(Ok(answer)) => match answer.status {
            Some(status) => Ok(dataverse_client::Credentials::FederatedToken {
                tenant_id: identity.tenant_id.clone(),
                client_id: identity.client_id.clone(),
                token: SecretString::from(status.token),
            }),
            None => Err(CredentialsError::Unanswered),
        },
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            Err(invalid(format!("ServiceAccount {name} does not exist in this namespace; create it")))
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(invalid(format!(
            "the controller is not allowed to create a token for ServiceAccount {name}; grant it `create` on serviceaccounts/token in this namespace (workloadIdentity.namespaces of the chart)"
        ))),
        _ => Err(CredentialsError::Unanswered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    #[test]
    fn secret_with_an_absurdly_long_value_is_not_kept() {
        let secret = |length: usize| Secret {
            data: Some(
                [("tenantId", 36), ("clientId", 36), ("clientSecret", length)]
                    .map(|(key, length)| (key.to_owned(), ByteString(vec![b'x'; length])))
                    .into(),
            ),
            ..Secret::default()
        };
        let read = |length| from_secret("s", &secret(length), "https://contoso.crm.dynamics.com");
        assert!(read(MAX_VALUE).is_ok());
        let Err(CredentialsError::Unusable(ProbeFailure::SecretInvalid(why))) = read(MAX_VALUE + 1) else {
            panic!("it should be refused");
        };
        assert!(why.starts_with("the key clientSecret of Secret s is longer than"), "{why}");
    }
}
