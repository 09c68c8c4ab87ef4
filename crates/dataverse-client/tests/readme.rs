//! Runs the example of the README.

use dataverse_client::Creation;

use super::server::{HOST, Reply, Server, secret};
use super::sign_in::healthy;

#[allow(dead_code, reason = "`main` is for running it by hand")]
#[path = "../examples/create_activity.rs"]
mod example;

#[tokio::test]
async fn readme_example_creates_the_activity_once() {
    let mut created = false;
    let server = Server::new(move |request| match request.method.as_str() {
        "PATCH" if std::mem::replace(&mut created, true) => Some(Reply::error(412, "")),
        "PATCH" => Some(Reply::empty(204)),
        _ => healthy(request),
    });
    let url = format!("https://{HOST}");
    for expected in [Creation::Created, Creation::AlreadyExists] {
        let created = example::create_activity(&server.config(), &url, &secret()).await.unwrap();
        assert_eq!(created, expected);
    }
}

#[test]
fn readme_shows_the_example() {
    let readme = include_str!("../README.md");
    let code = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(include_str!("../examples/create_activity.rs").contains(code));
}
