//! HTTP middleware for Spin on Fly.io, in front of an app that knows nothing of regions (docs/middleware.md).
//!
//! A request that writes is handed back to Fly's proxy before the app sees it, to be replayed in the primary region. What a
//! user has written is in a bookmark that their client sends back; a request that reads is answered here where this region
//! has that much, and in the primary region where it has not. Bodies pass from one to the other by their handles.
#![cfg(target_family = "wasm")]

mod answer;
mod bindings;
mod bookmark;
mod received;
mod requests;
mod seen;
mod settings;

use std::time::Instant;

use nearest_replica::parts::{Bookmark, method_name, timeout};
use nearest_replica::{Database, Problem, Session, Written};
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::answer::{Headers, Reason, problem, replayed};
use crate::bindings::next;
use crate::received::{Received, path};
use crate::requests::Kind;
use crate::settings::Settings;

struct Middleware;

spin_sdk::wasip3::http::service::export!(Middleware);

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let settings = match Settings::of_instance().await {
            Ok(settings) => settings,
            Err(found) => return problem(&found, None).await,
        };
        let received = Received::of(&request);
        match settings.requests.kind(method_name(&received.method), || path(&request)) {
            Kind::Reads => read(&settings, &received, request).await,
            Kind::Writes => write(&settings, &received, request).await,
        }
    }
}

/// Answers here where this region has what the user has seen.
async fn read(settings: &Settings, received: &Received, request: Request) -> Result<Response, ErrorCode> {
    let database = &settings.database;
    let mut headers = Headers::of(database, Reason::of_read(database, received));
    let bookmark = received.bookmark();
    if !bookmark.is_empty() && settings.reads_from_replicas {
        // Ends with its connection before the app begins.
        let mut session = database.session(Instant::now(), bookmark);
        let arrived = match session.has_arrived().await {
            // Where the adapter cannot be told, it may read from another database than the one that was asked.
            Ok(arrived) => arrived && settings.tell(&session).await.is_ok(),
            Err(found) => return problem(&found, Some((headers, received))).await,
        };
        if !arrived {
            if let Some(header) = settings.replay_read(received) {
                return replayed(header).await;
            }
            let here = read_here(settings, &mut session).await;
            if !matches!(here, Ok(Place::Replica)) {
                headers.reason = Reason::BookmarkBehind;
            }
            if let Err(found) = here {
                return problem(&found, Some((headers, received))).await;
            }
            // What the primary has now, in place of what meant nothing: no question more.
            headers.bookmark = Some(session.bookmark().await).filter(|now| now != bookmark);
        }
        if session.bookmark_is_due() {
            // Until it is known, the one that the client has stays.
            headers.bookmark = minted(database, &session).await;
        }
    }
    headers.add_to(next(request).await?, received).await
}

/// Where the app's reads are from.
enum Place {
    Replica,
    Primary,
}

/// Where a request cannot be replayed whose user has seen more than this region has: sees whether it has at least what the
/// primary has, or else that the adapter reads from there.
async fn read_here(settings: &Settings, session: &mut Session) -> Result<Place, Problem> {
    if session.has_what_the_primary_has().await? {
        settings.tell(session).await?;
        return Ok(Place::Replica);
    }
    settings.tell_to_ask_the_primary().await?;
    Ok(Place::Primary)
}

/// Has a write replayed in the primary region, or lets the app write here.
async fn write(settings: &Settings, received: &Received, request: Request) -> Result<Response, ErrorCode> {
    let database = &settings.database;
    let mut headers = Headers::of(database, Reason::of_write(database, received));
    match settings.replay_write(received) {
        Ok(Some(header)) => return replayed(header).await,
        Ok(None) => {}
        Err(found) => {
            headers.reason = Reason::ReplayFailed;
            headers.bookmark = bookmark_after(settings, received, Written::Uncertain).await;
            return problem(&found, Some((headers, received))).await;
        }
    }
    if headers.reason == Reason::ReplayFailed {
        // Nobody there may mean no database there, for which an app may wait longer than anybody waits for an answer.
        let session = database.session(Instant::now(), "");
        if let Err(found) = session.ask_primary().await {
            return problem(&found, Some((headers, received))).await;
        }
    }
    let response = next(request).await?;
    // An error of the server's may have come after the write was sent.
    let written = if response.get_status_code() < 500 { Written::Final } else { Written::Uncertain };
    headers.bookmark = bookmark_after(settings, received, written).await;
    headers.add_to(response, received).await
}

/// In a quarter of a request's time at most.
async fn minted(database: &Database, session: &Session) -> Option<String> {
    timeout(database.config().deadline / 4, session.bookmark()).await
}

/// Where one is needed. The answer is there, and only its bookmark may be a worse one.
async fn bookmark_after(settings: &Settings, received: &Received, written: Written) -> Option<String> {
    if !settings.reads_from_replicas {
        return None;
    }
    let database = &settings.database;
    let mut session = database.session(Instant::now(), received.bookmark());
    session.note_write(written);
    Some(minted(database, &session).await.unwrap_or_else(|| Bookmark::Primary.to_string()))
}
