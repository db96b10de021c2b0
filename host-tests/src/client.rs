//! An HTTP client that speaks as users do: one keep-alive connection, one request at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a body may be, in bytes, to be kept.
const LONGEST: usize = 64 << 20;

/// One connection to a Machine.
pub struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; what is no UTF-8 in it is replaced.
    pub body: String,
    /// When the request was sent.
    pub sent: Instant,
    /// From the request to the last byte of the body.
    pub took: Duration,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// When the connection breaks; every status is an answer.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path).await
    }

    /// Any request without a body.
    ///
    /// # Errors
    /// When the connection breaks; every status is an answer.
    pub async fn send(&mut self, method: Method, path: &str) -> Result<Answer> {
        self.send_with(method, path, &[], Bytes::new()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// When the connection breaks; every status is an answer.
    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let (sent, response) = self.ask(method, path, headers, body.into()).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LONGEST).collect().await;
        let body = body.map_err(|error| anyhow!("reading a body: {error}"))?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: parts.status, headers: parts.headers, body, sent, took: sent.elapsed() })
    }

    /// `GET` of a path whose answer is read to its end and not kept.
    ///
    /// # Errors
    /// When the connection breaks; every status is an answer.
    pub async fn skip(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<()> {
        let (_, response) = self.ask(Method::GET, path, headers, Bytes::new()).await?;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.context("reading a body")?;
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(Instant, Response<Incoming>)> {
        let request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(body)).context("making a request")?;
        // The connection notices only after a moment that the answer before was complete.
        self.sender.ready().await.context("waiting for the connection")?;
        let sent = Instant::now();
        Ok((sent, self.sender.send_request(request).await.context("sending a request")?))
    }
}

impl Answer {
    /// A header, or an empty text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
