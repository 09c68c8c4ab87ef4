//! Creates social activities, at most once per id. Texts are truncated to what the columns hold.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::ApiRequest;
use crate::client::Instance;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::row::{is_name, parse_activity};

/// The network the post was published on (`community`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Community {
    /// 0: any other network.
    #[default]
    Other,
    /// 1: Facebook.
    Facebook,
    /// 2: Twitter.
    Twitter,
}

/// Whether the post is a public or a private message (`postmessagetype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageType {
    /// 0: a public message.
    #[default]
    Public,
    /// 1: a private message.
    Private,
}

/// Sentiment of the post (`sentimentvalue`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentiment {
    /// Stored as 1.0.
    Positive,
    /// Stored as 0.0.
    Neutral,
    /// Stored as -1.0.
    Negative,
}

/// The record an activity is created regarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegardingTarget {
    /// Logical name of its table (`incident`).
    pub logical_name: String,
    /// Entity set of its table (`incidents`).
    pub entity_set: String,
    /// Id of the record.
    pub id: Uuid,
    /// Navigation property to this table; `None` is `regardingobjectid_<logical name>_socialactivity`.
    pub navigation_property: Option<String>,
}

/// The channel properties, which the record creation rules of an instance can test. Stored as one flat JSON object of
/// at most 8,192 characters (`activityadditionalparams`); longer texts are truncated.
#[derive(Clone, Default, Serialize)]
pub struct AdditionalParams {
    /// Logical name of the preferred table for the record.
    #[serde(rename = "userPreferredTargetEntity", skip_serializing_if = "String::is_empty")]
    pub user_preferred_target_entity: String,
    /// The author's handle.
    #[serde(rename = "socialHandle", skip_serializing_if = "String::is_empty")]
    pub social_handle: String,
    /// The author's user name.
    #[serde(rename = "profileName", skip_serializing_if = "String::is_empty")]
    pub profile_name: String,
    /// URL of the author's profile.
    #[serde(rename = "profilelink", skip_serializing_if = "String::is_empty")]
    pub profile_link: String,
    /// The author's full name.
    #[serde(rename = "fullName", skip_serializing_if = "String::is_empty")]
    pub full_name: String,
    /// The author's reach, 0–100.
    #[serde(rename = "influencescore", skip_serializing_if = "Option::is_none")]
    pub influence_score: Option<f64>,
    /// Whether the post is a share or repost.
    #[serde(rename = "isRetweet")]
    pub is_retweet: bool,
    /// Notes by the user who requested the activity.
    #[serde(rename = "notes", skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// A social activity to create. Longer texts are truncated to the given lengths in UTF-16 code units, in which Dataverse
/// counts.
#[derive(Clone, Default)]
pub struct Activity {
    /// Title of the post, up to 200.
    pub subject: String,
    /// Content of the post, up to 2,000.
    pub description: String,
    /// URL of the post, up to 200.
    pub post_url: String,
    /// The network's id of the post, up to 160.
    pub post_id: String,
    /// Time of publication.
    pub posted_on: Option<Timestamp>,
    /// The network it was published on.
    pub community: Community,
    /// Public or private.
    pub message_type: MessageType,
    /// Sentiment; `None` if unknown.
    pub sentiment: Option<Sentiment>,
    /// The record it is regarding.
    pub regarding: Option<RegardingTarget>,
    /// Channel properties.
    pub additional: AdditionalParams,
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No post text, so that `{:?}` cannot write it to a log.
        f.debug_struct("Activity").field("regarding", &self.regarding).finish_non_exhaustive()
    }
}

/// The result of [`Instance::create_activity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The activity was created by this call.
    Created,
    /// The activity exists already, typically from an earlier call whose response was lost. Nothing was changed.
    AlreadyExists,
}

impl Instance {
    /// Creates the activity under an id chosen by the caller (`If-None-Match: *`). Repeating the call with the same id
    /// never creates a second activity.
    ///
    /// Fails with [`ErrorKind::RecordNotFound`] if the regarding record does not exist, and with
    /// [`ErrorKind::UnknownTable`] if its table does not exist or activities cannot be regarding its rows. After any other
    /// error the activity may exist: repeat the call with the same id.
    pub async fn create_activity(&self, id: Uuid, activity: &Activity) -> Result<Creation, Error> {
        let fail = |kind| Err(self.api.error(kind));
        if let Some(target) = &activity.regarding
            && ![&target.logical_name, &target.entity_set]
                .into_iter()
                .chain(&target.navigation_property)
                .all(|n| is_name(n))
        {
            return fail(ErrorKind::UnknownTable);
        }
        let request = ApiRequest::create(&format!("socialactivities({id})"), &activity.body());
        let response = self.api.request(request).await?;
        match response.status.as_u16() {
            204 => return Ok(Creation::Created),
            // A representation, although none was requested, must be that of this row.
            200 | 201 => return parse_activity(&response, id).map(|_| Creation::Created).or_else(fail),
            _ => {}
        }
        let code = response.code();
        if code.is_some_and(|c| ErrorCode::DUPLICATE.contains(&c)) {
            // An alternate key may be taken instead of the id.
            let exists = self.read_activity(id, None).await?.activity.is_some();
            let status = response.status.as_u16();
            return if exists {
                Ok(Creation::AlreadyExists)
            } else {
                fail(ErrorKind::Other { status, code })
            };
        }
        if response.status == http::StatusCode::PRECONDITION_FAILED && response.has_error_body() {
            return Ok(Creation::AlreadyExists);
        }
        match response.error_kind() {
            // No regarding record was given, so the missing row is another one.
            ErrorKind::RecordNotFound if activity.regarding.is_none() => {
                fail(ErrorKind::Other { status: response.status.as_u16(), code })
            }
            _ if activity.regarding.is_some() && response.is_undeclared_property() => {
                fail(ErrorKind::UnknownTable)
            }
            kind => fail(kind),
        }
    }
}

impl Activity {
    fn body(&self) -> Value {
        let community = match self.community {
            Community::Other => 0,
            Community::Facebook => 1,
            Community::Twitter => 2,
        };
        let mut body = Map::new();
        let mut text = |name: &str, value: &str, max| {
            if !value.is_empty() {
                body.insert(name.to_owned(), truncate(value, max).into());
            }
        };
        text("subject", &self.subject, 200);
        text("description", &self.description, 2000);
        text("posturl", &self.post_url, 200);
        text("postid", &self.post_id, 160);
        text("activityadditionalparams", &self.additional.serialize(community), MAX_PARAMS);
        body.insert("community".into(), community.into());
        body.insert("postmessagetype".into(), i32::from(self.message_type == MessageType::Private).into());
        body.insert("directioncode".into(), false.into());
        if let Some(at) = self.posted_on {
            body.insert("postedon".into(), at.to_string().into());
        }
        let sentiment = self.sentiment.map(|s| match s {
            Sentiment::Positive => 1.0,
            Sentiment::Neutral => 0.0,
            Sentiment::Negative => -1.0,
        });
        body.insert("sentimentvalue".into(), json!(sentiment));
        if let Some(target) = &self.regarding {
            let property = target
                .navigation_property
                .clone()
                .unwrap_or_else(|| format!("regardingobjectid_{}_socialactivity", target.logical_name));
            body.insert(
                format!("{property}@odata.bind"),
                format!("/{}({})", target.entity_set, target.id).into(),
            );
        }
        Value::Object(body)
    }
}

/// Maximum length of the column `activityadditionalparams`.
const MAX_PARAMS: usize = 8192;

impl AdditionalParams {
    /// One flat JSON object that fits into the column. Shortens the longest texts, since a truncated object is not valid.
    fn serialize(&self, community: i32) -> String {
        let mut object = match serde_json::to_value(self) {
            Ok(Value::Object(object)) => object,
            // Not reached: strings, a float and a boolean always serialize (NaN as null).
            _ => Map::new(),
        };
        object.insert("targetEntityName".into(), "socialactivity".into());
        object.insert("community".into(), community.into());
        loop {
            let text = Value::Object(object.clone()).to_string();
            if utf16_len(&text) <= MAX_PARAMS {
                return text;
            }
            let longest = object.values_mut().max_by_key(|v| v.as_str().map_or(0, str::len));
            match longest {
                Some(Value::String(text)) if !text.is_empty() => *text = truncate(text, utf16_len(text) / 2),
                // Not reached: with all texts empty the object is far below the limit.
                _ => return "{}".to_owned(),
            }
        }
    }
}

/// Length in UTF-16 code units, in which Dataverse counts; an emoji is two.
fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The longest prefix of whole characters within so many UTF-16 code units.
fn truncate(text: &str, max: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= max
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_truncated_on_character_boundaries() {
        let activity = Activity {
            subject: "é".repeat(300),
            description: "😀".repeat(2000),
            post_url: format!("https://example.com/{}", "a".repeat(400)),
            post_id: "x".repeat(161),
            ..Activity::default()
        };
        let body = activity.body();
        for (column, max) in [("subject", 200), ("description", 2000), ("posturl", 200), ("postid", 160)] {
            assert_eq!(utf16_len(body[column].as_str().unwrap()), max, "{column}");
        }
        assert_eq!(body["description"].as_str().unwrap().chars().count(), 1000);
        assert_eq!(truncate("a😀", 2), "a");
    }

    #[test]
    fn additional_params_fit_their_column() {
        let additional = AdditionalParams {
            user_preferred_target_entity: "incident".into(),
            // Sixfold in length as JSON.
            full_name: "\u{1}".repeat(5000),
            notes: "\"".repeat(9000),
            influence_score: Some(41.0),
            is_retweet: true,
            ..AdditionalParams::default()
        };
        let text = additional.serialize(2);
        assert!(utf16_len(&text) <= MAX_PARAMS);
        let object: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(object["userPreferredTargetEntity"], "incident");
        assert_eq!(object["targetEntityName"], "socialactivity");
        assert_eq!(object["community"], 2);
        assert_eq!(object["isRetweet"], true);
        assert!(object.values().all(|v| !v.is_object() && !v.is_array()));
        assert!(!object["notes"].as_str().unwrap().is_empty());
        assert!(!object.contains_key("socialHandle"));
    }
}
