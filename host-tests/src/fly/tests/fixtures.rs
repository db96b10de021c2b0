//! Small servers that stand for Machines, and a client.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::super::body::{Body, Task};
use super::super::{Distances, ERROR_HEADER, Fly, InstanceId, Settings, Why};

/// A server that notes what it is asked.
pub(super) struct App {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
    _serving: Task,
}

impl App {
    pub(super) async fn start(answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let (answer, seen) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let noted = Arc::clone(&seen);
        let (address, serving) = serve(move |request| {
            let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let request = Request::from_parts(parts, body);
                let response = answer(&request);
                noted.lock().unwrap().push(request);
                response.map(full)
            }
        })
        .await;
        Self { address, seen, _serving: serving }
    }

    /// Always the same answer.
    pub(super) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| Response::new(Bytes::from(text))).await
    }

    /// Asks for a replay, unless that has failed.
    pub(super) async fn replaying(fly_replay: &'static str) -> Self {
        Self::start(move |request| match request.headers().contains_key("fly-replay-failed") {
            true => Response::new("fell back".into()),
            false => replay(fly_replay),
        })
        .await
    }

    pub(super) fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }
}

/// Serves each request with a function of the test's own.
pub(super) async fn serve<F>(
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> (SocketAddr, Task)
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let handle = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), handle));
        }
    });
    (address, serving)
}

/// An address at which nobody listens, for as long as the socket lives.
pub(super) fn nobody() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

pub(super) fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn replay(fly_replay: &str) -> Response<Bytes> {
    Response::builder().status(409).header("fly-replay", fly_replay).body("not for clients".into()).unwrap()
}

/// Without delays, and soon at the end of its patience.
pub(super) fn impatient() -> Settings {
    Settings { give_up_after: Duration::from_millis(300), ..Distances::estimated().scaled(0.0).into() }
}

/// An app with one Machine in Frankfurt and one in San Jose, and the edge in Frankfurt.
pub(super) struct Regions {
    pub(super) fly: Fly,
    pub(super) edge: SocketAddr,
    pub(super) fra: InstanceId,
    pub(super) sjc: InstanceId,
}

impl Regions {
    pub(super) async fn start(settings: Settings, fra: &App, sjc: &App) -> Self {
        let fly = Fly::new(settings);
        let edge = fly.start_edge("fra").await.unwrap();
        let machine = |region, app: &App| fly.add_machine(region, app.address).unwrap();
        let (fra, sjc) = (machine("fra", fra), machine("sjc", sjc));
        Self { fly, edge, fra, sjc }
    }

    /// The regions a request came to, why, and what each answered.
    pub(super) fn hops(&self, answer: &Response<Bytes>) -> Vec<(String, Why, Option<u16>)> {
        let hops = self.fly.hops(header(answer.headers(), "fly-request-id"));
        hops.into_iter().map(|hop| (hop.region, hop.why, hop.answer.map(|status| status.as_u16()))).collect()
    }
}

pub(super) fn get() -> Request<Bytes> {
    with("x-any", "thing")
}

pub(super) fn with(name: &str, value: &str) -> Request<Bytes> {
    Request::get("/").header(name, value).body(Bytes::new()).unwrap()
}

pub(super) async fn ask(edge: SocketAddr, request: Request<Bytes>) -> Response<Bytes> {
    let response = send(edge, request.map(full)).await;
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// On a connection of its own.
pub(super) async fn send(edge: SocketAddr, mut request: Request<Body>) -> Response<Incoming> {
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(edge).await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    request.headers_mut().insert("host", "nearest-replica.fly.dev".parse().unwrap());
    sender.send_request(request).await.unwrap()
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The status and the code of a refusal, which has no body.
pub(super) fn refusal(answer: &Response<Bytes>) -> (u16, &str) {
    let error = header(answer.headers(), ERROR_HEADER);
    assert!(answer.body().is_empty(), "{error}");
    (answer.status().as_u16(), error.split(' ').next().unwrap())
}
