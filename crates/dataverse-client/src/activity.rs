//! Creating social activities: what a post becomes, cut to what the columns hold, at most once per id.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client::{Ask, Instance};
use super::error::{Error, ErrorCode, Kind};
use super::row::{is_name, row};

/// Where the post was published (`community`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Community {
    /// 0.
    #[default]
    Other,
    /// 1.
    Facebook,
    /// 2.
    Twitter,
}

/// Who could see the post (`postmessagetype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageType {
    /// 0.
    #[default]
    Public,
    /// 1.
    Private,
}

/// `sentimentvalue`; unknown is `None` where this is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentiment {
    /// 1.0.
    Positive,
    /// 0.0.
    Neutral,
    /// -1.0.
    Negative,
}

/// The record an activity is created regarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegardingTarget {
    /// Logical name of its table (`incident`).
    pub logical_name: String,
    /// Entity set of its table (`incidents`).
    pub entity_set: String,
    /// Its id.
    pub id: Uuid,
    /// The property that points to this table, if it is not `regardingobjectid_<logical name>_socialactivity`.
    pub navigation_property: Option<String>,
}

/// The channel properties, kept by the instance as one flat JSON object of at most 8,192 characters; its record
/// creation rules can test them (domain reference, 2.5).
#[derive(Clone, Default, Serialize)]
pub struct AdditionalParams {
    /// Logical name of the table the user asked for; a preference only.
    #[serde(rename = "userPreferredTargetEntity", skip_serializing_if = "String::is_empty")]
    pub user_preferred_target_entity: String,
    /// The author's alias.
    #[serde(rename = "socialHandle", skip_serializing_if = "String::is_empty")]
    pub social_handle: String,
    /// The author's user name.
    #[serde(rename = "profileName", skip_serializing_if = "String::is_empty")]
    pub profile_name: String,
    /// The author's page.
    #[serde(rename = "profilelink", skip_serializing_if = "String::is_empty")]
    pub profile_link: String,
    /// The author's name.
    #[serde(rename = "fullName", skip_serializing_if = "String::is_empty")]
    pub full_name: String,
    /// Reach, 0–100.
    #[serde(rename = "influencescore", skip_serializing_if = "Option::is_none")]
    pub influence_score: Option<f64>,
    /// Whether the post repeats another.
    #[serde(rename = "isRetweet")]
    pub is_retweet: bool,
    /// Notes of whoever asked for the link.
    #[serde(rename = "notes", skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// What a social activity is created from. Texts of any length: they are cut to what the columns hold.
#[derive(Clone, Default)]
pub struct Activity {
    /// Title; 200.
    pub subject: String,
    /// Content; 2,000.
    pub description: String,
    /// URL of the post; 200.
    pub post_url: String,
    /// The post's own id; 160.
    pub post_id: String,
    /// When it was published.
    pub posted_on: Option<Timestamp>,
    /// Where.
    pub community: Community,
    /// For whom.
    pub message_type: MessageType,
    /// How.
    pub sentiment: Option<Sentiment>,
    /// The record it is about, if one was named.
    pub regarding: Option<RegardingTarget>,
    /// Channel properties.
    pub additional: AdditionalParams,
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text of a post must not reach a log by way of `{:?}`.
        f.debug_struct("Activity").field("regarding", &self.regarding).finish_non_exhaustive()
    }
}

/// What became of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It exists since this call.
    Created,
    /// It existed before, from an earlier call whose answer was lost: adopt it. Nothing was changed.
    AlreadyExists,
}

impl Instance {
    /// Creates the activity under an id chosen by the caller; repeating the call never makes a second one.
    ///
    /// [`Kind::RecordNotFound`]: the regarding record does not exist. [`Kind::RecordTypeUnknown`]: its table does not,
    /// or activities cannot be about it. After any other error it is not known whether the activity exists.
    pub async fn create_activity(&self, id: Uuid, activity: &Activity) -> Result<Creation, Error> {
        let refused = |kind| Err(self.api.error(kind));
        if let Some(target) = &activity.regarding
            && ![&target.logical_name, &target.entity_set]
                .into_iter()
                .chain(&target.navigation_property)
                .all(|n| is_name(n))
        {
            return refused(Kind::RecordTypeUnknown);
        }
        let ask = Ask::create(&format!("socialactivities({id})"), &activity.body());
        let answer = self.api.ask(ask).await?;
        match answer.status.as_u16() {
            204 => return Ok(Creation::Created),
            // A representation nobody asked for still has to be one of this row.
            200 | 201 => return row(&answer, id).map(|_| Creation::Created).or_else(refused),
            _ => {}
        }
        let code = answer.code();
        if code.is_some_and(|c| ErrorCode::DUPLICATE.contains(&c)) {
            // Some key is taken; only if it is this id is the activity ours.
            let exists = self.read_activity(id, None).await?.activity.is_some();
            let status = answer.status.as_u16();
            return if exists { Ok(Creation::AlreadyExists) } else { refused(Kind::Other { status, code }) };
        }
        if answer.status == http::StatusCode::PRECONDITION_FAILED && answer.told_by_web_api() {
            return Ok(Creation::AlreadyExists);
        }
        match answer.refusal() {
            // Without a regarding record there is none that could be missing.
            Kind::RecordNotFound if activity.regarding.is_none() => {
                refused(Kind::Other { status: answer.status.as_u16(), code })
            }
            _ if activity.regarding.is_some() && answer.complains_of_property() => {
                refused(Kind::RecordTypeUnknown)
            }
            kind => refused(kind),
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
        let mut text = |name: &str, value: &str, most| {
            if !value.is_empty() {
                body.insert(name.to_owned(), cut(value, most).into());
            }
        };
        text("subject", &self.subject, 200);
        text("description", &self.description, 2000);
        text("posturl", &self.post_url, 200);
        text("postid", &self.post_id, 160);
        text("activityadditionalparams", &self.additional.serialise(community), LARGEST_PARAMS);
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

/// What the column `activityadditionalparams` holds.
const LARGEST_PARAMS: usize = 8192;

impl AdditionalParams {
    /// One flat JSON object within the column. Too long, its longest texts are shortened: half a JSON object is none.
    fn serialise(&self, community: i32) -> String {
        let mut object = match serde_json::to_value(self) {
            Ok(Value::Object(object)) => object,
            // Strings, a float and a boolean always serialise; NaN becomes null.
            _ => Map::new(),
        };
        object.insert("targetEntityName".into(), "socialactivity".into());
        object.insert("community".into(), community.into());
        loop {
            let text = Value::Object(object.clone()).to_string();
            if utf16_len(&text) <= LARGEST_PARAMS {
                return text;
            }
            let longest = object.values_mut().max_by_key(|v| v.as_str().map_or(0, str::len));
            match longest {
                Some(Value::String(text)) if !text.is_empty() => *text = cut(text, utf16_len(text) / 2),
                // Not reached: with all texts empty the object is far below the cap.
                _ => return "{}".to_owned(),
            }
        }
    }
}

/// Dataverse counts UTF-16 units: an emoji is two.
fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The longest beginning of whole characters within so many UTF-16 units.
fn cut(text: &str, most: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= most
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_the_columns_on_character_boundaries() {
        let activity = Activity {
            subject: "é".repeat(300),
            description: "😀".repeat(2000),
            post_url: format!("https://example.com/{}", "a".repeat(400)),
            post_id: "x".repeat(161),
            ..Activity::default()
        };
        let body = activity.body();
        for (column, most) in [("subject", 200), ("description", 2000), ("posturl", 200), ("postid", 160)] {
            assert_eq!(utf16_len(body[column].as_str().unwrap()), most, "{column}");
        }
        assert_eq!(body["description"].as_str().unwrap().chars().count(), 1000);
        assert_eq!(cut("a😀", 2), "a");
    }

    #[test]
    fn additional_params_are_flat_json_within_the_column() {
        let additional = AdditionalParams {
            user_preferred_target_entity: "incident".into(),
            // Each of these grows sixfold when written as JSON.
            full_name: "\u{1}".repeat(5000),
            notes: "\"".repeat(9000),
            influence_score: Some(41.0),
            is_retweet: true,
            ..AdditionalParams::default()
        };
        let text = additional.serialise(2);
        assert!(utf16_len(&text) <= LARGEST_PARAMS);
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
