//! Reading rows, and what an instance tells about itself.

use serde_json::{Value, json};

use super::wire::{HOST, ORGANIZATION, Wire, activity, id};

const LOOKUP: &str = "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname";

#[tokio::test]
async fn r23_a_link_is_checked_by_one_read_with_the_annotation_asked_for() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    let path = format!("{}?$select=_regardingobjectid_value,statecode,statuscode", activity(id(1)));
    let plain = wire.get(&path).await.json();
    assert_eq!(plain[LOOKUP], Value::Null, "annotations come only when asked for");
    let prefer = [("prefer", "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"")];
    let reply = wire.call("GET", &path, &prefer, None).await;
    let row = reply.json();
    assert_eq!(row[LOOKUP], "incident");
    assert_eq!(row["_regardingobjectid_value"], json!(wire.world.records(ORGANIZATION, "incident")[0]));
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(1), &json!(1)));
    assert_eq!(row["activityid"], json!(id(1)), "the key always comes along");
    assert_eq!(row.get("subject"), None, "what is not selected does not");
    assert!(reply.header("preference-applied").contains("lookuplogicalname"));
    assert_eq!(wire.get(&activity(id(2))).await.refusal(), (404, "0x80040217".to_owned()));
}

#[tokio::test]
async fn unknown_columns_and_options_are_refused() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
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
        assert_eq!(wire.get(path).await.refusal(), (400, "0x80060888".to_owned()), "{path}");
    }
    let path = format!("{}?$filter=postid%20eq%20'x'", activity(id(1)));
    assert_eq!(wire.get(&path).await.status, 400, "no filter on a single row");
}

fn posts(reply: &super::wire::Reply) -> Vec<String> {
    let body = reply.json();
    let rows = body["value"].as_array().unwrap_or_else(|| panic!("no list: {body}"));
    rows.iter().map(|row| row["postid"].as_str().unwrap().to_owned()).collect()
}

async fn five_posts() -> Wire {
    let wire = Wire::to(&json!({"convertsTo": "None"})).await;
    for number in 1..=5 {
        wire.link(id(number), &format!("post-{number}"), "incident").await;
    }
    wire
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_cut_into_pages() {
    let wire = five_posts().await;
    let list = |query: &str| {
        let path = format!("socialactivities?$select=postid&{}", query.replace(' ', "%20"));
        let wire = &wire;
        async move { posts(&wire.call("GET", &path, &[], None).await) }
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
        let reply = wire.call("GET", &path, &prefer, None).await;
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
async fn an_unchanged_row_is_not_sent_again() {
    let wire = five_posts().await;
    let etag = wire.get(&activity(id(1))).await.header("etag").to_owned();
    let reply = wire.call("GET", &activity(id(1)), &[("if-none-match", &etag)], None).await;
    assert_eq!(reply.status, 304);
    let reply = wire.call("GET", &activity(id(1)), &[("if-none-match", "null")], None).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_record_can_be_read_along_with_the_activity() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    let path = format!(
        "{}?$select=postid&$expand=regardingobjectid_incident_socialactivity($select=title),regardingobjectid_lead_socialactivity($select=leadid)",
        activity(id(1))
    );
    let row = wire.get(&path).await.json();
    assert_eq!(row["regardingobjectid_incident_socialactivity"]["title"], "About one");
    assert_eq!(row["regardingobjectid_lead_socialactivity"], Value::Null);
    let path = format!("{}/regardingobjectid_incident_socialactivity?$select=title", activity(id(1)));
    assert_eq!(wire.get(&path).await.json()["title"], "About one");
}

#[tokio::test]
async fn r02_an_instance_tells_its_name_language_and_version() {
    let wire = Wire::to(&json!({})).await;
    assert_eq!(wire.get("WhoAmI").await.json()["OrganizationId"], json!(ORGANIZATION));
    let path =
        format!("organizations({ORGANIZATION})?$select=name,languagecode,isdisabled,organizationstate");
    let row = wire.get(&path).await.json();
    assert_eq!((&row["name"], &row["languagecode"]), (&json!("Contoso Ltd"), &json!(1033)));
    assert_eq!((&row["isdisabled"], &row["organizationstate"]), (&json!(false), &json!(3)));
    assert_eq!(wire.get(&format!("organizations({})", id(1))).await.status, 404);
    assert_eq!(wire.get(&format!("organizations({ORGANIZATION})?$select=expiry")).await.status, 400);

    let good =
        "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'";
    let detail = wire.get(good).await.json()["Detail"].clone();
    assert_eq!(detail["OrganizationVersion"], "9.2.24101.00197");
    assert_eq!(detail["State"], "Enabled");
    assert_eq!(detail["UniqueName"], "contoso");
    for (path, status) in [
        ("RetrieveCurrentOrganization(AccessType=@p1)", 400),
        ("RetrieveCurrentOrganization(AccessType=@p1)?@p1='Default'", 400),
        ("RetrieveCurrentOrganization", 404),
        ("RetrieveCurrentOrganization()", 404),
    ] {
        assert_eq!(wire.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn an_author_gets_one_profile_however_often_they_post() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    wire.link(id(2), "two", "incident").await;
    let profiles =
        wire.get("socialprofiles?$select=profilename,influencescore,_customerid_value").await.json();
    let profiles = profiles["value"].as_array().unwrap().clone();
    assert_eq!(profiles.len(), 1);
    assert_eq!((&profiles[0]["profilename"], &profiles[0]["influencescore"]), (&json!("@ada"), &json!(41.0)));
    let row = wire.get(&format!("{}?$select=_postfromprofileid_value", activity(id(1)))).await.json();
    assert_eq!(row["_postfromprofileid_value"], profiles[0]["socialprofileid"]);
    let path = format!("contacts({})", profiles[0]["_customerid_value"].as_str().unwrap());
    assert_eq!(wire.get(&path).await.json()["fullname"], "Ada L");
}
