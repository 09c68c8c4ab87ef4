//! Health, organization, metadata and discovery, and the number of requests they take.

use dataverse_client::{
    DiscoveredState, Endpoint, ErrorClass, ErrorKind, OrganizationState, UnexpectedResponse,
};
use serde_json::json;

use super::server::{HOST, LOGIN, Recorded, Reply, Server, batch, id};
use super::sign_in::healthy;

const DISCOVERY: &str = "globaldisco.crm.dynamics.com";

fn current(state: &str) -> Reply {
    Reply::json(
        200,
        json!({"@odata.context": "x", "Detail": {"OrganizationId": id(3), "FriendlyName": "Contoso\r\nLtd",
            "UniqueName": "contoso", "OrganizationVersion": "9.2.24101.00197", "State": state,
            "UrlName": "contoso", "Endpoints": {"Count": 1}}}),
    )
}

#[tokio::test]
async fn health_takes_two_requests() {
    let server = Server::new(healthy);
    let health = server.instance().health().await.unwrap();
    assert_eq!((health.organization_id, health.user_id), (id(3), id(2)));
    assert_eq!((health.name.as_str(), health.language), ("Contoso", Some(1033)));
    assert!(health.accepts_social_data);
    assert_eq!(health.state, OrganizationState::Enabled);
    assert_eq!(server.requests_to(HOST).len(), 2);
}

#[tokio::test]
async fn organization_and_metadata_are_read() {
    let server = Server::new(|request| {
        if request.path.contains("RetrieveCurrentOrganization") {
            return Some(current("Enabled"));
        }
        if request.path.ends_with("/$batch") {
            return Some(batch(request, |path| match path.split('?').next().unwrap() {
                "EntityDefinitions(LogicalName='socialactivity')/ManyToOneRelationships" => (
                    200,
                    json!({"value": [
                        {"ReferencedEntity": "systemuser", "ReferencingAttribute": "createdby",
                         "ReferencingEntityNavigationPropertyName": "createdby"},
                        {"ReferencedEntity": "incident", "ReferencingAttribute": "regardingobjectid",
                         "ReferencingEntityNavigationPropertyName": "regardingobjectid_incident_socialactivity"},
                        {"ReferencedEntity": "new_ticket", "ReferencingAttribute": "regardingobjectid",
                         "ReferencingEntityNavigationPropertyName": "regardingobjectid_new_ticket"}]}),
                ),
                "EntityDefinitions(LogicalName='incident')" => (
                    200,
                    json!({"LogicalName": "incident", "EntitySetName": "incidents", "MetadataId": id(5),
                        "PrimaryIdAttribute": "incidentid", "DisplayName": {"LocalizedLabels": [],
                        "UserLocalizedLabel": {"Label": "Case", "LanguageCode": 1033}}}),
                ),
                "EntityDefinitions(LogicalName='systemuser')" => (
                    200,
                    json!({"LogicalName": "systemuser", "EntitySetName": "systemusers",
                        "PrimaryIdAttribute": "systemuserid", "DisplayName": {"UserLocalizedLabel": null}}),
                ),
                _ => (404, json!({"error": {"code": "0x80060888", "message": "x"}})),
            }));
        }
        healthy(request)
    });
    let tables: Vec<String> = ["incident", "systemuser", "new_gone", "bad'name"].map(String::from).to_vec();
    let instance = server.instance();
    let organization = instance.organization().await.unwrap();
    assert_eq!(organization.organization_id, id(3));
    assert_eq!(organization.friendly_name, "ContosoLtd", "one line");
    assert_eq!(
        (organization.unique_name.as_str(), organization.version.as_str()),
        ("contoso", "9.2.24101.00197")
    );
    assert_eq!(organization.language, Some(1033));
    assert!(organization.accepts_social_data);

    let found = instance.metadata(&tables).await.unwrap();
    assert_eq!(found.iter().map(|t| t.logical_name.clone()).collect::<Vec<_>>(), tables);
    assert_eq!(
        (found[0].entity_set_name.as_str(), found[0].primary_id_attribute.as_str()),
        ("incidents", "incidentid")
    );
    assert_eq!(found[0].display_name.as_deref(), Some("Case"));
    assert!(found[0].exists && found[0].related_to_social_activity);
    assert_eq!(found[0].navigation_property.as_deref(), Some("regardingobjectid_incident_socialactivity"));
    assert!(found[1].exists && !found[1].related_to_social_activity);
    assert!(!found[2].exists && !found[3].exists);
    assert_eq!(server.requests_to(HOST).len(), 3, "all tables take one request");
    assert!(server.requests().iter().all(|s| !s.body.contains("bad'name")));
}

#[tokio::test]
async fn disabled_organization_refuses_social_data() {
    let server = Server::new(|request| {
        if request.path.contains("RetrieveCurrentOrganization") {
            return Some(current("Disabled"));
        }
        if request.path.contains("organizations(") {
            return Some(Reply::json(
                200,
                json!({"organizationid": id(3), "name": "x", "languagecode": 1031, "disablesocialcare": true}),
            ));
        }
        None
    });
    let organization = server.instance().organization().await.unwrap();
    assert_eq!(organization.state, OrganizationState::Disabled);
    assert!(!organization.accepts_social_data);
    assert_eq!(organization.language, Some(1031));
}

#[tokio::test]
async fn row_of_another_organization_is_unexpected() {
    let server = Server::new(|request| {
        if request.path.contains("organizations(") {
            return Some(Reply::json(200, json!({"organizationid": id(4), "name": "x"})));
        }
        healthy(request)
    });
    let error = server.instance().health().await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::OtherRow }
    );
}

fn listed(request: &Recorded) -> Option<Reply> {
    (request.host == DISCOVERY).then(|| {
        Reply::json(
            200,
            json!({"value": [
                {"Id": id(8), "ApiUrl": "https://other.api.crm.dynamics.com", "Url": "https://other.crm.dynamics.com",
                 "State": 0, "StatusMessage": 6, "TrialExpirationDate": "0001-01-01T00:00:00Z"},
                {"Id": id(3), "ApiUrl": "https://contoso.api.crm.dynamics.com",
                 "Url": "https://contoso.crm.dynamics.com/", "State": 1, "StatusMessage": 4,
                 "TrialExpirationDate": "2025-12-01T00:00:00Z"}]}),
        )
    })
}

#[tokio::test]
async fn discovery_tells_expired_instances() {
    let server = Server::new(listed);
    let instance = server.instance();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    for organization in [None, Some(id(3))] {
        let found = instance.discover(organization).await.unwrap().unwrap();
        assert_eq!((found.organization_id, found.state), (id(3), DiscoveredState::Disabled));
        assert_eq!(found.status_message, Some(4));
        assert!(found.expired(now));
        assert!(!found.expired("2025-11-30T00:00:00Z".parse().unwrap()));
    }
    let other = instance.discover(Some(id(8))).await.unwrap().unwrap();
    assert_eq!((other.state, other.trial_expires), (DiscoveredState::Enabled, None));
    assert!(!other.expired(now));
    assert_eq!(instance.discover(Some(id(77))).await.unwrap(), None);
    // The discovery service gets a token of its own.
    let scopes: Vec<String> = server.requests_to(LOGIN).iter().map(|s| s.form("scope").unwrap()).collect();
    assert_eq!(scopes, [format!("https://{DISCOVERY}/.default")]);
    assert!(server.requests_to(DISCOVERY)[0].path.starts_with("/api/discovery/v2.0/Instances"));
}

#[tokio::test]
async fn failed_discovery_is_no_evidence() {
    for reply in [|| Reply::html(200), || Reply::error(403, "0x80072560"), || Reply::empty(503)] {
        let server = Server::new(move |request| (request.host == DISCOVERY).then(reply));
        let error = server.instance().discover(None).await.unwrap_err();
        assert_eq!((error.endpoint, error.class()), (Endpoint::Discovery, ErrorClass::DiscoveryUnavailable));
    }
}
