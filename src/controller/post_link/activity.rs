//! R28: the fields of a post that are sent to the instance (the "payload properties" of the manual).

use crate::{
    api::{Post, PostType, Sentiment},
    domain::matching::fold,
};
use dataverse_client::{Activity, AdditionalParams, Community, MessageType, RegardingTarget};

/// The social activity of a post.
pub fn activity(
    post: &Post,
    record_type: &str,
    notes: Option<&str>,
    regarding: Option<RegardingTarget>,
) -> Activity {
    let author = post.author.clone().unwrap_or_default();
    let content = readable(post.content.as_deref().unwrap_or_default());
    let title = post.title.as_deref().map(readable);
    let source = fold(post.source.as_deref().unwrap_or_default().trim());
    Activity {
        // Without a title, the content; the client truncates it to the column length.
        subject: title.filter(|t| !t.trim().is_empty()).unwrap_or_else(|| content.clone()),
        description: content,
        post_url: post.url.clone(),
        post_id: post.id.trim().to_owned(),
        posted_on: post.published_at.as_ref().map(|t| t.0),
        community: match source.as_str() {
            "facebook" => Community::Facebook,
            "twitter" => Community::Twitter,
            _ => Community::Other,
        },
        message_type: match post.type_ {
            Some(PostType::PrivateMessage) => MessageType::Private,
            _ => MessageType::Public,
        },
        sentiment: post.sentiment.map(|sentiment| match sentiment {
            Sentiment::Positive => dataverse_client::Sentiment::Positive,
            Sentiment::Neutral => dataverse_client::Sentiment::Neutral,
            Sentiment::Negative => dataverse_client::Sentiment::Negative,
        }),
        regarding,
        additional: AdditionalParams {
            user_preferred_target_entity: record_type.to_owned(),
            social_handle: author.handle.as_deref().map(readable).unwrap_or_default(),
            profile_name: author.handle.as_deref().map(readable).unwrap_or_default(),
            profile_link: author.profile_url.unwrap_or_default(),
            full_name: author.name.as_deref().map(readable).unwrap_or_default(),
            influence_score: post.reach.map(f64::from),
            is_retweet: post.type_ == Some(PostType::Share),
            notes: notes.map(readable).unwrap_or_default(),
        },
    }
}

/// Removes control characters, which the instance rejects, except line breaks and tabs.
fn readable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect()
}
