//! A scripted HTTP/1.1 server for all hosts, over in-memory streams, that records its requests.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dataverse_client::{Client, Config, Credentials, Instance, Origin, Timeouts, Transport};
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

pub const HOST: &str = "contoso.crm.dynamics.com";
pub const LOGIN: &str = "login.microsoftonline.com";
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const CLIENT: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";
/// The secret. May appear only in the body of a token request.
pub const CANARY: &str = "canary-4f6e1c";
/// Text of hostile responses. May not appear in an error.
pub const UPSTREAM: &str = "upstream-words";

/// A received request.
#[derive(Clone)]
pub struct Recorded {
    pub host: String,
    pub method: String,
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Recorded {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The whole request as text.
    pub fn text(&self) -> String {
        format!("{} {} {:?} {}", self.method, self.path, self.headers, self.body)
    }

    /// One field of a form body.
    pub fn form(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.body.as_bytes())
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.into_owned())
    }
}

pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Whole(String),
    /// Repeats the text without end.
    Endless(String),
    /// Sends the text, then nothing more.
    Stalled(String),
    /// Sends the text, then breaks the connection.
    Broken(String),
}

impl Reply {
    #[allow(clippy::needless_pass_by_value, reason = "texts and JSON values alike, without `&` at each call")]
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self::typed(status, "application/json; odata.metadata=minimal", &body.to_string())
    }

    pub fn typed(status: u16, content_type: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            body: Body::Whole(body.into()),
        }
    }

    pub fn html(status: u16) -> Self {
        Self::typed(status, "text/html", &format!("<html>{UPSTREAM} 0x80040217</html>"))
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(String::new()) }
    }

    /// An error body of the Web API.
    pub fn error(status: u16, code: &str) -> Self {
        Self::json(status, serde_json::json!({"error": {"code": code, "message": UPSTREAM}}))
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn endless(mut self) -> Self {
        self.body = Body::Endless(UPSTREAM.repeat(100));
        self
    }

    pub fn stalled(mut self, beginning: &str) -> Self {
        self.body = Body::Stalled(beginning.into());
        self
    }

    pub fn broken(mut self, beginning: &str) -> Self {
        self.body = Body::Broken(beginning.into());
        self
    }

    fn into_response(self) -> Response<BoxBody<Bytes, io::Error>> {
        let frame = |text: String| Ok::<_, io::Error>(Frame::data(Bytes::from(text)));
        let body = match self.body {
            Body::Whole(text) => Full::new(Bytes::from(text)).map_err(|e| match e {}).boxed(),
            Body::Endless(text) => {
                BodyExt::boxed(StreamBody::new(futures::stream::repeat_with(move || frame(text.clone()))))
            }
            Body::Stalled(text) => BodyExt::boxed(StreamBody::new(
                futures::stream::iter([frame(text)]).chain(futures::stream::pending()),
            )),
            Body::Broken(text) => BodyExt::boxed(StreamBody::new(futures::stream::iter([
                frame(text),
                Err(io::ErrorKind::ConnectionReset.into()),
            ]))),
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap()
    }
}

type Script = Box<dyn FnMut(&Recorded) -> Option<Reply> + Send>;

/// The server behind all hosts.
pub struct Server {
    requests: Mutex<Vec<Recorded>>,
    script: Mutex<Script>,
    now: Mutex<Timestamp>,
}

impl Server {
    /// Responds as scripted. Where the script returns `None`, the token endpoint grants `token-<n>` for an hour, and any
    /// other request gets a 404 of the Web API without a code.
    pub fn new(script: impl FnMut(&Recorded) -> Option<Reply> + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            requests: Mutex::default(),
            script: Mutex::new(Box::new(script)),
            now: Mutex::new("2026-01-01T00:00:00Z".parse().unwrap()),
        })
    }

    pub fn config(self: &Arc<Self>) -> Config {
        let server = self.clone();
        let clock = self.clone();
        Config {
            transport: Transport::InMemory(Arc::new(move |_host| {
                let (ours, theirs) = tokio::io::duplex(64 << 10);
                tokio::spawn(server.clone().serve(theirs));
                Ok(ours)
            })),
            clock: Arc::new(move || *clock.now.lock().unwrap()),
            ..Config::default()
        }
    }

    /// Short timeouts, for servers that never respond.
    pub fn short_timeouts(self: &Arc<Self>) -> Config {
        let soon = Duration::from_millis(300);
        Config {
            timeouts: Timeouts { connect: soon, sign_in: soon, request: soon, batch: soon },
            ..self.config()
        }
    }

    pub fn client(self: &Arc<Self>) -> Client {
        Client::new(&self.config()).unwrap()
    }

    /// The instance at [`HOST`].
    pub fn instance(self: &Arc<Self>) -> Instance {
        instance_at(&self.client(), HOST)
    }

    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.checked_add(by).unwrap();
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }

    /// The requests to one host.
    pub fn requests_to(&self, host: &str) -> Vec<Recorded> {
        self.requests().into_iter().filter(|s| s.host == host).collect()
    }

    /// Serves one connection.
    pub async fn serve(self: Arc<Self>, io: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(move |request| self.clone().response(request));
        let _ = hyper::server::conn::http1::Builder::new()
            .max_buf_size(4 << 20)
            .serve_connection(TokioIo::new(io), service)
            .await;
    }

    async fn response(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, io::Error>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let request = Recorded {
            host: head.headers["host"].to_str().unwrap().to_owned(),
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let tokens = {
            let mut all = self.requests.lock().unwrap();
            all.push(request.clone());
            all.iter().filter(|s| s.host == LOGIN).count()
        };
        let reply = (self.script.lock().unwrap())(&request);
        let reply = reply.unwrap_or_else(|| {
            if request.host.starts_with("login.") { token(tokens) } else { Reply::error(404, "") }
        });
        Ok(reply.into_response())
    }
}

/// A token response.
pub fn token(number: usize) -> Reply {
    Reply::json(
        200,
        serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": format!("token-{number}")}),
    )
}

pub fn secret() -> Credentials {
    Credentials::ClientSecret { tenant_id: TENANT.into(), client_id: CLIENT.into(), secret: CANARY.into() }
}

pub fn instance_at(client: &Client, host: &str) -> Instance {
    client.instance(&Origin::parse(&format!("https://{host}")).unwrap(), &secret()).unwrap()
}

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// The row of an activity, regarding an incident if there is one.
pub fn activity_row(activity: Uuid, incident: Option<Uuid>) -> serde_json::Value {
    let mut row = serde_json::json!({
        "@odata.etag": "W/\"1\"", "activityid": activity, "_regardingobjectid_value": incident,
        "statecode": 0, "statuscode": 4,
    });
    if incident.is_some() {
        row["_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] = "incident".into();
    }
    row
}

/// A `$batch` response with the status and body that `part` returns for each path.
pub fn batch(request: &Recorded, part: impl Fn(&str) -> (u16, serde_json::Value)) -> Reply {
    use std::fmt::Write as _;
    let mut body = String::new();
    for line in request.body.lines() {
        let Some(path) = line.strip_prefix("GET /api/data/v9.2/").and_then(|l| l.strip_suffix(" HTTP/1.1"))
        else {
            continue;
        };
        let (status, json) = part(path);
        write!(
            body,
            "--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
             HTTP/1.1 {status} Whatever\r\nContent-Type: application/json; odata.metadata=minimal\r\n\
             OData-Version: 4.0\r\n\r\n{json}\r\n"
        )
        .unwrap();
    }
    body.push_str("--batchresponse_1--\r\n");
    Reply::typed(200, "multipart/mixed; boundary=batchresponse_1", &body)
}

pub fn missing_row() -> (u16, serde_json::Value) {
    (404, serde_json::json!({"error": {"code": "0x80040217", "message": "Does Not Exist"}}))
}
