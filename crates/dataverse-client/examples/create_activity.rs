//! Creates a social activity in a Dataverse instance. Run it with the URL of a test instance as the argument, and
//! `TENANT_ID`, `CLIENT_ID` and `CLIENT_SECRET` of an application user in the environment.

use std::env;
use std::error::Error;

use dataverse_client::{Activity, Client, Config, Creation, Credentials};
use uuid::Uuid;

pub async fn create_activity(
    config: &Config,
    url: &str,
    credentials: &Credentials,
) -> Result<Creation, Box<dyn Error>> {
    let client = Client::new(config)?;
    let instance = client.instance(&client.admit(url)?, credentials)?;
    let health = instance.health().await?;
    println!("signed in to {}", health.name);

    let post = Activity { subject: "Lost suitcase".into(), post_id: "4711".into(), ..Activity::default() };
    // The same post always gets the same id, so a retry never creates a second activity.
    let id = Uuid::new_v5(&health.organization_id, post.post_id.as_bytes());
    Ok(instance.create_activity(id, &post).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: create_activity https://contoso.crm.dynamics.com")?;
    let credentials = Credentials::ClientSecret {
        tenant_id: env::var("TENANT_ID")?,
        client_id: env::var("CLIENT_ID")?,
        secret: env::var("CLIENT_SECRET")?.into(),
    };
    println!("{:?}", create_activity(&Config::default(), &url, &credentials).await?);
    Ok(())
}
