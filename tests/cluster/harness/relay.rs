//! A relay between one pod and the API server that delays or refuses chosen requests, and cuts or slows down answers, as a
//! network may.

use std::fs;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::ControlPlane;
use super::waiting::wait_for;

/// Plain HTTP toward the pod, so that requests can be distinguished; HTTPS toward the server.
#[derive(Debug)]
pub struct Relay {
    // Dropping it ends every connection.
    _runtime: Runtime,
    url: String,
    post: Arc<Post>,
}

/// The request to delay.
#[derive(Debug)]
struct Post {
    /// The start of its first line, and a text it contains.
    wanted: Mutex<Option<(String, String)>>,
    /// The start of the first line of requests that are all delayed.
    every: Mutex<Option<String>>,
    caught: watch::Sender<bool>,
    released: watch::Sender<bool>,
    /// A text in the first line of requests whose connections are closed.
    refused: watch::Sender<Option<String>>,
    /// The answer that contains this ends with it.
    cut: Mutex<Option<Vec<u8>>>,
    was_cut: watch::Sender<bool>,
    /// The delay of each part of an answer.
    delay: watch::Sender<Duration>,
}

impl Relay {
    /// Starts a relay in front of the API server of `plane`.
    pub fn to(plane: &ControlPlane) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime needs a thread and no more");
        let ca = fs::read(plane.ca_file()).expect("a running control plane has its certificates");
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(&ca).expect("it is one certificate");
        roots.add(ca).expect("it is the certificate of an authority");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let server = plane.url().trim_start_matches("https://").to_owned();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there are free ports");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let post = Arc::new(Post {
            wanted: Mutex::new(None),
            every: Mutex::new(None),
            caught: watch::Sender::new(false),
            released: watch::Sender::new(false),
            refused: watch::Sender::new(None),
            cut: Mutex::new(None),
            was_cut: watch::Sender::new(false),
            delay: watch::Sender::new(Duration::ZERO),
        });
        let held = post.clone();
        runtime.spawn(async move {
            while let Ok((pod, _)) = listener.accept().await {
                let (server, tls, post) = (server.clone(), tls.clone(), held.clone());
                // The pod notices a broken connection.
                tokio::spawn(async move { drop(relay(pod, &server, &tls, &post).await) });
            }
        });
        Self { _runtime: runtime, url, post }
    }

    /// The address of the API server for the pod.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Delays the next request whose first line begins with `line` and that contains `text`.
    pub fn hold(&self, line: &str, text: &str) {
        *self.post.wanted.lock().expect("no thread panics while holding the lock") =
            Some((line.to_owned(), text.to_owned()));
    }

    /// Delays every request whose first line begins with `line`.
    pub fn hold_every(&self, line: &str) {
        *self.post.every.lock().expect("no thread panics while holding the lock") = Some(line.to_owned());
    }

    /// Waits until a request is delayed.
    pub fn wait_until_held(&self, limit: Duration) {
        wait_for("a request to keep back", limit, || self.post.caught.borrow().then_some(()));
    }

    /// Forwards it to the server.
    pub fn release(&self) {
        self.post.released.send_replace(true);
    }

    /// Closes the connections of requests whose first line contains `text`, now and later.
    pub fn refuse(&self, text: &str) {
        self.post.refused.send_replace(Some(text.to_owned()));
    }

    /// Refuses nothing any more.
    pub fn accept(&self) {
        self.post.refused.send_replace(None);
    }

    /// Closes the connection of the next answer that contains `text` right after it.
    pub fn cut_after(&self, text: &[u8]) {
        self.post.was_cut.send_replace(false);
        *self.post.cut.lock().expect("no thread panics while holding the lock") = Some(text.to_owned());
    }

    /// Waits until an answer was cut.
    pub fn wait_until_cut(&self, limit: Duration) {
        wait_for("an answer to cut", limit, || self.post.was_cut.borrow().then_some(()));
    }

    /// Delays each part of an answer by this much.
    pub fn slow_down(&self, delay: Duration) {
        self.post.delay.send_replace(delay);
    }
}

impl Post {
    /// Whether this is a request to delay. Of `wanted`, only the first match is; later ones pass.
    fn catches(&self, request: &[u8]) -> bool {
        let mut wanted = self.wanted.lock().expect("no thread panics while holding the lock");
        let every = self.every.lock().expect("no thread panics while holding the lock");
        let request = String::from_utf8_lossy(request);
        let found = wanted.take_if(|(line, text)| request.starts_with(&*line) && request.contains(&*text));
        let found = found.is_some() || every.as_ref().is_some_and(|line| request.starts_with(line));
        if found {
            self.caught.send_replace(true);
        }
        found
    }

    fn refuses(&self, line: &str) -> bool {
        self.refused.borrow().as_ref().is_some_and(|text| line.contains(text))
    }

    /// Where this part of an answer ends if it is to be cut.
    fn cuts(&self, part: &[u8]) -> Option<usize> {
        let mut cut = self.cut.lock().expect("no thread panics while holding the lock");
        let text = cut.as_ref()?;
        let end = part.windows(text.len()).position(|found| found == text)? + text.len();
        *cut = None;
        Some(end)
    }
}

async fn relay(pod: TcpStream, server: &str, tls: &TlsConnector, post: &Post) -> std::io::Result<()> {
    let name = ServerName::from(std::net::Ipv4Addr::LOCALHOST);
    let server = tls.connect(name, TcpStream::connect(server).await?).await?;
    let (mut from_pod, mut to_pod) = pod.into_split();
    let (mut from_server, mut to_server) = split(server);
    // The first line of the last request.
    let line = Mutex::new(String::new());
    let up = async {
        let mut part = vec![0; 1 << 20];
        loop {
            // The pod writes a request at once and nothing more before the answer, so each read starts with a request.
            let length = from_pod.read(&mut part).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            let request = String::from_utf8_lossy(&part[..length]);
            let first = request.lines().next().unwrap_or_default().to_owned();
            if post.refuses(&first) {
                return Err(ErrorKind::ConnectionReset.into());
            }
            *line.lock().expect("no thread panics while holding the lock") = first;
            if post.catches(&part[..length]) {
                // An Err means that the relay was dropped.
                drop(post.released.subscribe().wait_for(|released| *released).await);
            }
            to_server.write_all(&part[..length]).await?;
            to_server.flush().await?;
        }
    };
    let down = async {
        let mut part = vec![0; 1 << 20];
        loop {
            let length = from_server.read(&mut part).await?;
            if length == 0 {
                return to_pod.shutdown().await;
            }
            let delay = *post.delay.borrow();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if let Some(end) = post.cuts(&part[..length]) {
                to_pod.write_all(&part[..end]).await?;
                // Sends what was written and then the end: a reset could drop it.
                to_pod.shutdown().await?;
                post.was_cut.send_replace(true);
                return Err(ErrorKind::ConnectionAborted.into());
            }
            to_pod.write_all(&part[..length]).await?;
        }
    };
    let refused = async {
        let is_refused = |text: &Option<String>| {
            let line = line.lock().expect("no thread panics while holding the lock");
            text.as_ref().is_some_and(|text| line.contains(text))
        };
        drop(post.refused.subscribe().wait_for(is_refused).await);
        std::io::Result::<()>::Err(ErrorKind::ConnectionReset.into())
    };
    tokio::select! {
        ended = async { tokio::try_join!(up, down) } => ended.map(drop),
        reset = refused => reset,
    }
}
