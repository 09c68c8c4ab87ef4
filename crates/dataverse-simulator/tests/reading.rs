//! Reading rows, and the functions about the instance.

use serde_json::{Value, json};

use super::client::{HOST, ORGANIZATION, TestClient, activity, id};

const LOOKUP: &str = "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname";
const NAVIGATION: &str = "_regardingobjectid_value@Microsoft.Dynamics.CRM.associatednavigationproperty";

#[tokio::test]
async fn annotations_are_included_on_request_only() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let path = format!("{}?$select=_regardingobjectid_value,statecode,statuscode", activity(id(1)));
    let plain = client.get(&path).await.json();
    assert_eq!(plain[LOOKUP], Value::Null, "annotations are included on request only");
    let prefer = [("prefer", "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"")];
    let reply = client.call("GET", &path, &prefer, None).await;
    let row = reply.json();
    assert_eq!(row[LOOKUP], "incident");
    assert_eq!(row.get(NAVIGATION), None, "another annotation");
    let all = [("prefer", "odata.include-annotations=\"*\"")];
    let row_with_all = client.call("GET", &path, &all, None).await.json();
    assert_eq!(row_with_all[NAVIGATION], "regardingobjectid_incident_socialactivity");
    assert_eq!(row["_regardingobjectid_value"], json!(client.simulator.records(ORGANIZATION, "incident")[0]));
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(1), &json!(1)));
    assert_eq!(row["activityid"], json!(id(1)), "the key is always included");
    assert_eq!(row.get("subject"), None, "what is not selected is not");
    assert!(reply.header("preference-applied").contains("lookuplogicalname"));
    assert_eq!(client.get(&activity(id(2))).await.refusal(), (404, "0x80040217".to_owned()));
}

#[tokio::test]
async fn unknown_columns_and_options_are_refused() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    for path in [
        "socialactivities?$select=regardingobjectid",
        "socialactivities?$select=subject,",
        "socialactivities?$select=Subject",
        "socialactivities?$filter=senttype%20eq%201",
        "socialactivities?$filter=activityid%20eq%20'10000000-0000-4000-8000-000000000001'",
        "socialactivities?$filter=postid%20eq%20one",
        "socialactivities?$skip=1",
        "socialactivities?$search=x",
        "socialactivities?top=1",
        "socialactivities?$top=-1",
        "socialactivities?$top=0",
        "socialactivities?$orderby=postid%20upwards",
        "socialactivities?$expand=regardingobjectid",
        "socialactivities(postid='one')",
        "socialactivities(1)",
        "socialactivities(",
    ] {
        assert_eq!(client.get(path).await.refusal(), (400, "0x80060888".to_owned()), "{path}");
    }
    let path = format!("{}?$filter=postid%20eq%20'x'", activity(id(1)));
    assert_eq!(client.get(&path).await.status, 400, "no filter on a single row");
}

fn posts(reply: &super::client::Reply) -> Vec<String> {
    let body = reply.json();
    let rows = body["value"].as_array().unwrap_or_else(|| panic!("no list: {body}"));
    rows.iter().map(|row| row["postid"].as_str().unwrap().to_owned()).collect()
}

async fn five_posts() -> TestClient {
    let client = TestClient::new(&json!({"convertsTo": "None"})).await;
    for number in 1..=5 {
        client.link(id(number), &format!("post-{number}"), "incident").await;
    }
    client
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let client = five_posts().await;
    let list = |query: &str| {
        let path = format!("socialactivities?$select=postid&{}", query.replace(' ', "%20"));
        let client = &client;
        async move { posts(&client.call("GET", &path, &[], None).await) }
    };
    assert_eq!(list("$filter=postid eq 'post-2' or postid eq 'post-4'").await, ["post-2", "post-4"]);
    assert_eq!(list("$filter=postid eq 'POST-2'").await, ["post-2"], "strings compare without case");
    let by_key = format!("$filter=activityid eq {} or activityid eq {}", id(5), id(1));
    assert_eq!(list(&by_key).await, ["post-1", "post-5"]);
    let within = format!(
        "$filter=Microsoft.Dynamics.CRM.In(PropertyName='activityid',PropertyValues=[\"{}\",\"{}\"])",
        id(3),
        id(99)
    );
    assert_eq!(list(&within.replace('"', "%22")).await, ["post-3"]);
    assert_eq!(list("$orderby=postid desc&$top=2").await, ["post-5", "post-4"]);
    assert_eq!(list("$filter=_regardingobjectid_value ne null").await, [""; 0]);

    let prefer = [("prefer", "odata.maxpagesize=2")];
    let mut path = "socialactivities?$select=postid".to_owned();
    let mut seen = Vec::new();
    loop {
        let reply = client.call("GET", &path, &prefer, None).await;
        seen.extend(posts(&reply));
        let root = format!("https://{HOST}/api/data/v9.2/");
        match reply.json()["@odata.nextLink"].as_str() {
            Some(link) => path = link.strip_prefix(&root).unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["post-1", "post-2", "post-3", "post-4", "post-5"]);
}

#[tokio::test]
async fn unchanged_row_is_not_modified() {
    let client = five_posts().await;
    let etag = client.get(&activity(id(1))).await.header("etag").to_owned();
    let reply = client.call("GET", &activity(id(1)), &[("if-none-match", &etag)], None).await;
    assert_eq!(reply.status, 304);
    let reply = client.call("GET", &activity(id(1)), &[("if-none-match", "null")], None).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn lookups_can_be_expanded_and_followed() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let path = format!(
        "{}?$select=postid&$expand=regardingobjectid_incident_socialactivity($select=title),regardingobjectid_lead_socialactivity($select=leadid)",
        activity(id(1))
    );
    let row = client.get(&path).await.json();
    assert_eq!(row["regardingobjectid_incident_socialactivity"]["title"], "About one");
    assert_eq!(row["regardingobjectid_lead_socialactivity"], Value::Null);
    let path = format!("{}/regardingobjectid_incident_socialactivity?$select=title", activity(id(1)));
    assert_eq!(client.get(&path).await.json()["title"], "About one");
}

#[tokio::test]
async fn organization_has_name_language_and_version() {
    let client = TestClient::new(&json!({})).await;
    assert_eq!(client.get("WhoAmI").await.json()["OrganizationId"], json!(ORGANIZATION));
    let path =
        format!("organizations({ORGANIZATION})?$select=name,languagecode,isdisabled,organizationstate");
    let row = client.get(&path).await.json();
    assert_eq!((&row["name"], &row["languagecode"]), (&json!("Contoso Ltd"), &json!(1033)));
    assert_eq!((&row["isdisabled"], &row["organizationstate"]), (&json!(false), &json!(3)));
    let all = client.get("organizations?$select=name").await.json();
    assert_eq!(all["value"][0]["name"], "Contoso Ltd");
    assert_eq!(client.get(&format!("organizations({})", id(1))).await.status, 404);
    assert_eq!(client.get(&format!("organizations({ORGANIZATION})?$select=expiry")).await.status, 400);

    let good =
        "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'";
    let detail = client.get(good).await.json()["Detail"].clone();
    assert_eq!(detail["OrganizationVersion"], "9.2.24101.00197");
    assert_eq!(detail["State"], "Enabled");
    assert_eq!(detail["UniqueName"], "contoso");
    let inline =
        "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Internet')";
    assert_eq!(client.get(inline).await.status, 200);
    for (path, status) in [
        ("RetrieveCurrentOrganization(AccessType=@p1)", 400),
        ("RetrieveCurrentOrganization(AccessType=@p1)?@p1='Default'", 400),
        ("RetrieveCurrentOrganization", 404),
        ("RetrieveCurrentOrganization()", 404),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}
