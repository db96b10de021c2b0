//! The page, what happens as server-sent events, and the way back for commands. It knows nothing of the lab itself.

use std::convert::Infallible;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::command::Command;
use crate::load::Watchers;
use crate::origin::Origins;

/// A command, and where what comes of it goes.
pub(crate) type Order = (Command, oneshot::Sender<Result<Value, String>>);

/// What the page talks to.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) snapshots: watch::Receiver<String>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) watchers: Watchers,
    pub(crate) origins: Origins,
}

const PAGE: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/lab.css");
const SCRIPT: &str = include_str!("../page/lab.js");

/// Nothing from anywhere else, and no other page around this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/lab.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/lab.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/events", get(events))
        .route("/commands", post(command))
        .layer(from_fn_with_state(shared.origins.clone(), guard))
        .with_state(shared)
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], content)
}

async fn guard(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let mut response = match origins.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => problem(status, why).into_response(),
    };
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    response.headers_mut().extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Everything, again and again.
async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let watcher = shared.watchers.join();
    let mut snapshots = shared.snapshots;
    snapshots.mark_changed();
    let stream = futures::stream::unfold((snapshots, watcher), |(mut snapshots, watcher)| async {
        snapshots.changed().await.ok()?;
        let event = Event::default().data(snapshots.borrow_and_update().as_str());
        Some((Ok(event), (snapshots, watcher)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

async fn command(State(shared): State<Shared>, command: Result<Json<Command>, JsonRejection>) -> Response {
    let command = match command {
        Ok(Json(command)) => command,
        Err(error) => return problem(error.status(), &error.body_text()).into_response(),
    };
    let (reply, outcome) = oneshot::channel();
    if shared.orders.send((command, reply)).await.is_err() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the lab is stopping").into_response();
    }
    match outcome.await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => problem(StatusCode::CONFLICT, &error).into_response(),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the lab is stopping").into_response(),
    }
}

fn problem(status: StatusCode, why: &str) -> impl IntoResponse {
    (status, Json(json!({ "error": why })))
}
