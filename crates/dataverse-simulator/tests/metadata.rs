//! `EntityDefinitions`.

use serde_json::json;

use super::client::TestClient;

async fn client() -> TestClient {
    TestClient::new(&json!({"tables": [
        {"logicalName": "new_idea", "entitySetName": "new_ideas", "primaryIdAttribute": "new_ideaid"},
        {"logicalName": "new_lonely", "entitySetName": "new_lonelies", "primaryIdAttribute": "new_lonelyid", "hasActivities": false},
    ]}))
    .await
}

#[tokio::test]
async fn definition_has_set_key_and_columns() {
    let client = client().await;
    let path = "EntityDefinitions(LogicalName='new_idea')?$select=LogicalName,EntitySetName,PrimaryIdAttribute,HasActivities,ChangeTrackingEnabled&$expand=Attributes($select=LogicalName,AttributeType)";
    let table = client.get(path).await.json();
    assert_eq!(
        (&table["EntitySetName"], &table["PrimaryIdAttribute"]),
        (&json!("new_ideas"), &json!("new_ideaid"))
    );
    assert_eq!(table["ChangeTrackingEnabled"], true);
    let attributes = table["Attributes"].as_array().unwrap();
    assert!(
        attributes
            .iter()
            .any(|a| a["LogicalName"] == "new_ideaid" && a["AttributeType"] == "Uniqueidentifier")
    );
}

#[tokio::test]
async fn unknown_table_is_404_and_bad_query_400() {
    let client = client().await;
    let reply = client.get("EntityDefinitions(LogicalName='new_gone')").await;
    assert_eq!(reply.refusal(), (404, "0x80040217".to_owned()));
    for path in [
        "EntityDefinitions(LogicalName='lead')?$select=Nonsense",
        "EntityDefinitions(LogicalName='lead')?$expand=Nonsense",
        "EntityDefinitions(lead)",
        "EntityDefinitions?$filter=Nonsense%20eq%20'x'",
        "EntityDefinitions?$top=1",
    ] {
        assert_eq!(client.get(path).await.status, 400, "{path}");
    }
    client.apply(&json!({"absentTables": ["lead"]}));
    assert_eq!(client.get("EntityDefinitions(LogicalName='lead')").await.status, 404);
    assert_eq!(client.get("leads").await.status, 404);
}

#[tokio::test]
async fn relationships_list_the_regarding_tables() {
    let client = client().await;
    let path = "EntityDefinitions(LogicalName='socialactivity')?$select=LogicalName&$expand=ManyToOneRelationships($select=ReferencedEntity,ReferencingEntityNavigationPropertyName;$filter=ReferencingAttribute%20eq%20'regardingobjectid')";
    let table = client.get(path).await.json();
    let mut seen: Vec<(String, String)> = table["ManyToOneRelationships"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            let text = |name: &str| r[name].as_str().unwrap().to_owned();
            (text("ReferencedEntity"), text("ReferencingEntityNavigationPropertyName"))
        })
        .collect();
    seen.sort();
    let expected = ["contact", "incident", "lead", "new_idea"]
        .map(|table| (table.to_owned(), format!("regardingobjectid_{table}_socialactivity")));
    assert_eq!(seen, expected);
    let path = "EntityDefinitions(LogicalName='socialactivity')/ManyToOneRelationships?$filter=ReferencedEntity%20eq%20'lead'";
    let relationship = client.get(path).await.json()["value"][0].clone();
    assert_eq!(relationship["CascadeConfiguration"]["Delete"], "Cascade");
    let path = "EntityDefinitions(LogicalName='new_lonely')/OneToManyRelationships";
    assert_eq!(client.get(path).await.json()["value"], json!([]));
}

#[tokio::test]
async fn definitions_are_filtered_by_name() {
    let client = client().await;
    let path = "EntityDefinitions?$select=LogicalName,EntitySetName&$filter=LogicalName%20eq%20'incident'%20or%20LogicalName%20eq%20'new_idea'%20or%20LogicalName%20eq%20'gone'";
    let body = client.get(path).await.json();
    let names: Vec<_> = body["value"].as_array().unwrap().iter().map(|t| t["LogicalName"].clone()).collect();
    assert_eq!(names, ["incident", "new_idea"]);
}
