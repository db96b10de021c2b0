//! Bodies: what is kept for a replay, and what streams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::super::body::{Body, REPLAYABLE, Task};
use super::super::{Distances, Fly, Settings};
use super::fixtures::{App, Regions, ask, full, get, header, impatient, refusal, replay, send, serve};
use crate::wait::eventually;

const SOON: Duration = Duration::from_secs(20);

/// A body whose pieces come from elsewhere.
fn from_channel() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((Ok::<_, io::Error>(Frame::data(piece)), receiver))
    });
    (sender, StreamBody::new(Box::pin(frames)).boxed_unsync())
}

async fn edge_and_machine(settings: Settings, machine: std::net::SocketAddr) -> (Fly, std::net::SocketAddr) {
    let fly = Fly::new(settings);
    let edge = fly.start_edge("fra").await.unwrap();
    fly.add_machine("fra", machine).unwrap();
    (fly, edge)
}

#[tokio::test]
async fn a_megabyte_is_replayed_and_a_byte_more_is_not() {
    let (fra, sjc) = (App::replaying("region=sjc").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    for (length, replayed) in [(REPLAYABLE, true), (REPLAYABLE + 1, false)] {
        let body = Bytes::from(vec![b'x'; length]);
        let answer = ask(regions.edge, Request::post("/").body(body.clone()).unwrap()).await;
        assert_eq!(fra.seen().pop().unwrap().body().len(), length, "the first Machine got all of it");
        if replayed {
            assert_eq!(answer.body(), "sjc");
            assert_eq!(sjc.seen().pop().unwrap().body(), &body);
        } else {
            assert_eq!(refusal(&answer), (502, "PA01"));
            assert_eq!(sjc.seen().len(), 1);
        }
    }
}

#[tokio::test]
async fn what_comes_in_after_the_first_machine_has_answered_is_replayed_too() {
    let (said, mut ids) = mpsc::unbounded_channel();
    let (hasty, _serving) = serve(move |request: Request<Incoming>| {
        let said = said.clone();
        async move {
            said.send(header(request.headers(), "fly-request-id").to_owned()).unwrap();
            replay("region=sjc").map(full)
        }
    })
    .await;
    let sjc = App::saying("sjc").await;
    let (fly, edge) = edge_and_machine(impatient(), hasty).await;
    fly.add_machine("sjc", sjc.address).unwrap();
    let (pieces, body) = from_channel();
    let asking = tokio::spawn(send(edge, Request::post("/").body(body).unwrap()));
    let piece = Bytes::from(vec![b'x'; 100_000]);
    pieces.send(piece.clone()).await.unwrap();
    let id = timeout(SOON, ids.recv()).await.unwrap().unwrap();
    let answered = async || (!fly.hops(&id).is_empty()).then_some(());
    eventually(SOON, "the first answer", answered).await.unwrap();
    for _ in 1..5 {
        pieces.send(piece.clone()).await.unwrap();
    }
    drop(pieces);
    let answer = timeout(SOON, asking).await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "sjc");
    assert_eq!(sjc.seen()[0].body().len(), 500_000);
}

#[tokio::test]
async fn a_request_goes_on_after_its_answer_has_begun() {
    let (machine, _serving) = serve(async |request: Request<Incoming>| {
        let (pieces, body) = from_channel();
        tokio::spawn(async move {
            let whole = request.into_body().collect().await.unwrap().to_bytes();
            pieces.send(whole.len().to_string().into()).await.unwrap();
        });
        Response::new(body)
    })
    .await;
    let (_fly, edge) = edge_and_machine(impatient(), machine).await;
    let (pieces, body) = from_channel();
    let answer = timeout(SOON, send(edge, Request::post("/").body(body).unwrap())).await.unwrap();
    for _ in 0..20 {
        pieces.send(Bytes::from(vec![b'x'; 100_000])).await.unwrap();
    }
    drop(pieces);
    assert_eq!(timeout(SOON, answer.into_body().collect()).await.unwrap().unwrap().to_bytes(), "2000000");
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let piece = Bytes::from(vec![b'x'; 100_000]);
    let got_first = Arc::new(Notify::new());
    let (answering, sent) = (Arc::clone(&got_first), piece.clone());
    let (machine, _serving) = serve(move |request: Request<Incoming>| {
        let (got_first, piece) = (Arc::clone(&answering), sent.clone());
        async move {
            let mut body = request.into_body();
            let mut length = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
            got_first.notify_one();
            while let Some(frame) = body.frame().await {
                length += frame.unwrap().into_data().unwrap().len();
            }
            let (pieces, body) = from_channel();
            tokio::spawn(async move {
                pieces.send(piece.clone()).await.unwrap();
                got_first.notified().await;
                for _ in 1..50 {
                    pieces.send(piece.clone()).await.unwrap();
                }
            });
            Response::builder().header("x-length", length).body(body).unwrap()
        }
    })
    .await;
    let (_fly, edge) = edge_and_machine(impatient(), machine).await;
    let (pieces, body) = from_channel();
    let answering = tokio::spawn(send(edge, Request::post("/").body(body).unwrap()));
    pieces.send(piece.clone()).await.unwrap();
    timeout(SOON, got_first.notified()).await.expect("the Machine gets the first piece before the last is sent");
    for _ in 1..50 {
        pieces.send(piece.clone()).await.unwrap();
    }
    drop(pieces);
    let answer = timeout(SOON, answering).await.unwrap().unwrap();
    assert_eq!(answer.headers()["x-length"], "5000000");
    let mut body = answer.into_body();
    let first = timeout(SOON, body.frame()).await.expect("so does the client").unwrap().unwrap();
    got_first.notify_one();
    let rest = timeout(SOON, body.collect()).await.unwrap().unwrap().to_bytes();
    assert_eq!(first.into_data().unwrap().len() + rest.len(), 5_000_000);
}

/// Says whether a Machine got a request whole, also where its server gives the request up.
struct Whole(bool, mpsc::UnboundedSender<bool>);

impl Whole {
    fn set(&mut self, whole: bool) {
        self.0 = whole;
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_is_not_mistaken_for_one_that_ended() {
    let (said, mut outcomes) = mpsc::unbounded_channel();
    let begun = Arc::new(Notify::new());
    let beginning = Arc::clone(&begun);
    let (machine, _serving) = serve(move |request: Request<Incoming>| {
        let (mut whole, begun) = (Whole(false, said.clone()), Arc::clone(&beginning));
        async move {
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            begun.notify_one();
            whole.set(body.collect().await.is_ok());
            Response::new(full(""))
        }
    })
    .await;
    let (_fly, edge) = edge_and_machine(Distances::estimated().scaled(0.1).into(), machine).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for whole in [true, false] {
        let mut client = TcpStream::connect(edge).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        timeout(SOON, begun.notified()).await.unwrap();
        if whole {
            client.write_all(b"0\r\n\r\n").await.unwrap();
        } else {
            client.shutdown().await.unwrap();
        }
        assert_eq!(timeout(SOON, outcomes.recv()).await.unwrap(), Some(whole));
    }
}

#[tokio::test]
async fn a_machine_that_breaks_off_is_not_mistaken_for_one_that_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_fly, edge) = edge_and_machine(impatient(), listener.local_addr().unwrap()).await;
    let got_half = Arc::new(Notify::new());
    let getting = Arc::clone(&got_half);
    let _serving = Task::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(half).await.unwrap();
        getting.notified().await;
    });
    let mut body = send(edge, get().map(full)).await.into_body();
    assert_eq!(timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap(), "hello");
    got_half.notify_one();
    assert!(timeout(SOON, body.collect()).await.unwrap().is_err());
}

#[tokio::test]
async fn answers_without_a_body_keep_their_headers() {
    let app = App::start(|request| match request.uri().path() {
        "/204" => Response::builder().status(204).body("".into()).unwrap(),
        "/304" => Response::builder().status(304).header("etag", "\"1\"").body("".into()).unwrap(),
        _ => Response::new("twelve bytes".into()),
    })
    .await;
    let (_fly, edge) = edge_and_machine(impatient(), app.address).await;
    for (method, path, status, length) in [
        (Method::HEAD, "/", 200, "12"),
        (Method::GET, "/", 200, "12"),
        (Method::GET, "/204", 204, ""),
        (Method::GET, "/304", 304, ""),
    ] {
        let request = Request::builder().method(method.clone()).uri(path).body(Bytes::new()).unwrap();
        let answer = ask(edge, request).await;
        let got = answer.headers().get("content-length").map_or("", |value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), got), (status, length), "{method} {path}");
        assert_eq!(answer.body().len(), if method == Method::GET && path == "/" { 12 } else { 0 });
    }
}
