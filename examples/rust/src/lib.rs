//! A guestbook: which request gets what. Reads run on the nearest replica, writes on the primary, and a guest who has
//! written has a bookmark, so that no page that they see is older than that.
#![cfg(target_family = "wasm")]

mod bookmark;
mod entries;
mod input;
mod page;
mod reply;

use std::time::Instant;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use nearest_replica::{Database, Problem, Session, Written};
use spin_sdk::http::{IntoResponse, Method, Request};
use spin_sdk::wasip3::http_compat::IncomingRequestBody;

use crate::bookmark::{bookmark_of, is_https};
use crate::input::{BadInput, Input};
use crate::reply::{Failure, Reply};

/// Longer than any entry.
const LONGEST_BODY: usize = 16 * 1024;

#[spin_sdk::http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let arrived = Instant::now();
    answer(request, arrived).await.unwrap_or_else(Reply::from).send()
}

async fn answer(request: Request, arrived: Instant) -> Result<Reply, Failure> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let path: Vec<_> = parts.uri.path().split('/').skip(1).collect();
    let (method, id) = match (&parts.method, path.as_slice()) {
        (method, [""] | ["entries"]) => (method, None),
        (method, ["entries", id]) => (method, Some(id.parse::<i64>().map_err(|_| Problem::NotFound)?)),
        _ => return Err(Problem::NotFound.into()),
    };
    let wants_html = path == [""];
    let database = Database::of_instance(arrived).await?;
    let mut session = database.session(arrived, bookmark_of(&parts.headers));
    let reply = match (method, id) {
        (&Method::GET | &Method::HEAD, None) => {
            let listed = entries::list(&mut session).await?;
            let reply = if wants_html {
                page::html(&listed, &database, parts.uri.query().unwrap_or_default())
            } else {
                Reply::json(200, &listed.value)
            };
            reply.served_by(&database, &listed)
        }
        (&Method::POST, id) if !wants_html => match database.replay("POST", header) {
            Ok(Some((name, value))) => return Ok(Reply::empty(409).with(name, value)),
            Ok(None) => {
                let length = header("content-length").and_then(|length| length.parse().ok());
                let input = receive(header("content-type").unwrap_or_default(), length, body).await?;
                write(&mut session, &database, id, &input).await.unwrap_or_else(Reply::from)
            }
            Err(problem) => {
                session.note_write(Written::Uncertain);
                Reply::from(Failure::from(problem))
            }
        },
        (_, id) => {
            return Err(BadInput::Method(match (id, wants_html) {
                (None, true) => "GET, HEAD",
                (None, false) => "GET, HEAD, POST",
                (Some(_), _) => "POST",
            })
            .into());
        }
    };
    // After a write, after one that may have happened, and where the guest's own is of no use.
    if !session.bookmark_is_due() {
        return Ok(reply);
    }
    Ok(reply.remembering(&session.bookmark().await, is_https(&parts.uri, &parts.headers)))
}

async fn receive(content_type: &str, length: Option<usize>, body: IncomingRequestBody) -> Result<Input, BadInput> {
    if length.is_some_and(|length| length > LONGEST_BODY) {
        return Err(BadInput::TooLong(LONGEST_BODY));
    }
    let body = Limited::new(body, LONGEST_BODY).collect().await;
    let bytes = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => BadInput::TooLong(LONGEST_BODY),
        None => BadInput::Unreadable,
    })?;
    Input::parse(content_type, &bytes.to_bytes(), LONGEST_BODY)
}

async fn write(session: &mut Session, database: &Database, id: Option<i64>, input: &Input) -> Result<Reply, Failure> {
    let written = match id {
        None => entries::sign(session, &input.entry).await?,
        Some(id) => entries::edit(session, id, &input.entry).await?,
    };
    let Some(entry) = written.value.first() else { return Err(Problem::NotFound.into()) };
    let reply = match (input.is_form, id) {
        // A browser is sent back to the page, which shows what it has written wherever it is read.
        (true, _) => Reply::empty(303).with("location", page::after_write(database)),
        (false, None) => Reply::json(201, entry),
        (false, Some(_)) => Reply::json(200, entry),
    };
    Ok(reply.served_by(database, &written))
}
