//! A raw HTTP client over in-memory streams, and the instance that the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use dataverse_simulator::{SimulatedInstance, Simulator, Warning};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

pub const HOST: &str = "contoso.crm.dynamics.com";
pub const SIGN_IN_HOST: &str = "login.microsoftonline.com";
pub const DISCOVERY_HOST: &str = "globaldisco.crm.dynamics.com";
pub const ORGANIZATION: Uuid = Uuid::from_u128(0x5f0c_9a3e_6d2b_4c57_9f0e_0d9d_5a1b_7c11);
pub const TENANT: &str = "0b0a7c2e-1111-4222-8333-444455556666";
pub const SECRET: &str = "correct-horse";
/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600;

/// An instance with some fields of its specification replaced.
pub fn contoso(fields: &Value) -> SimulatedInstance {
    let mut spec = json!({
        "host": HOST,
        "organization": {"id": ORGANIZATION, "name": "Contoso Ltd", "uniqueName": "contoso", "languageCode": 1033, "version": "9.2.24101.00197"},
        "clientSecret": SECRET,
    });
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    SimulatedInstance { name: "contoso".to_owned(), spec: serde_json::from_value(spec).unwrap() }
}

/// A response with its complete body.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or("no error code").to_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and error code.
    pub fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }
}

/// Sends one request on a fresh connection.
pub async fn send_on<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response: Response<hyper::body::Incoming> = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    Ok(Reply { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
}

/// A client that is signed in to one instance, and the simulator with its clock.
pub struct TestClient {
    pub simulator: Simulator,
    seconds: Arc<AtomicI64>,
    pub token: String,
}

impl TestClient {
    /// A simulator with one instance; see [`contoso`] for `fields`.
    pub async fn new(fields: &Value) -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        let clock = seconds.clone();
        let simulator = Simulator::with_clock(Arc::new(move || {
            Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap()
        }));
        let mut client = Self { simulator, seconds, token: String::new() };
        assert_eq!(client.apply(fields), []);
        client.sign_in().await;
        client
    }

    pub fn apply(&self, fields: &Value) -> Vec<Warning> {
        self.simulator.apply(&[contoso(fields)]).unwrap()
    }

    pub fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    pub async fn sign_in(&mut self) {
        let reply = self.token_for(HOST, SECRET).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.token = access_token(&reply);
    }

    /// Requests a token with a client secret.
    pub async fn token_for(&self, host: &str, secret: &str) -> Reply {
        self.grant(
            TENANT,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "9c1c7f0e-0000-4000-8000-000000000001"),
                ("client_secret", secret),
                ("scope", &format!("https://{host}/.default")),
            ],
        )
        .await
    }

    /// Posts a form to the token endpoint.
    pub async fn grant(&self, tenant: &str, form: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(format!("/{tenant}/oauth2/v2.0/token"))
            .header("host", SIGN_IN_HOST)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(body))
            .unwrap();
        self.send(SIGN_IN_HOST, request).await.unwrap()
    }

    pub async fn send(&self, host: &str, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
        send_on(self.simulator.connector()(host), request).await
    }

    /// A valid Web API request; `path` is below the service root.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> http::request::Builder {
        let builder = Request::builder()
            .method(method)
            .uri(format!("/api/data/v9.2/{path}"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", self.token))
            .header("odata-version", "4.0")
            .header("odata-maxversion", "4.0")
            .header("accept", "application/json");
        if body.is_some() { builder.header("content-type", "application/json") } else { builder }
    }

    /// Sends a valid request with additional headers.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        self.try_call(method, path, headers, body).await.unwrap()
    }

    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, hyper::Error> {
        let mut builder = self.request(method, path, body);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.send(HOST, builder.body(Full::new(bytes)).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], None).await
    }

    /// Creates an activity of a post with a chosen id. Prefers a record of `table`.
    pub async fn link(&self, id: Uuid, post: &str, table: &str) -> Reply {
        let parameters = json!({
            "targetEntityName": "socialactivity",
            "userPreferredTargetEntity": table,
            "socialHandle": "@ada",
            "fullName": "Ada L",
            "influencescore": 41.0,
        });
        let body = json!({
            "subject": format!("About {post}"),
            "description": "text",
            "postid": post,
            "community": 2,
            "postmessagetype": 0,
            "activityadditionalparams": parameters.to_string(),
        });
        self.call("PATCH", &activity(id), &[("if-none-match", "*")], Some(&body)).await
    }

    /// Queries the discovery service.
    pub async fn discover(&self, path_and_query: &str) -> Reply {
        let reply = self.token_for(DISCOVERY_HOST, SECRET).await;
        let token = access_token(&reply);
        let request = Request::get(format!("/api/discovery/v2.0/{path_and_query}"))
            .header("host", DISCOVERY_HOST)
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .unwrap();
        self.send(DISCOVERY_HOST, request).await.unwrap()
    }
}

pub fn activity(id: Uuid) -> String {
    format!("socialactivities({id})")
}

/// An id from a small number.
pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x1000_0000_0000_4000_8000_0000_0000_0000 + number)
}

/// The token in a response of the token endpoint.
pub fn access_token(reply: &Reply) -> String {
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// The table of the record that each activity regards.
pub fn regarding(simulator: &Simulator) -> Vec<Option<String>> {
    simulator
        .activities(ORGANIZATION)
        .into_iter()
        .map(|view| view.regarding.map(|record| record.table))
        .collect()
}
