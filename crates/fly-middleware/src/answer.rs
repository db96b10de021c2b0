//! What goes back to the client: the app's answer with a few headers more, or one of the middleware's own.

use nearest_replica::{Database, Problem};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, HeaderError, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{spawn, yield_async};

use crate::bookmark::{NAME, cookie};
use crate::received::Received;

/// Why a request is answered by this Machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It only reads, and this is where it came.
    Read,
    /// The primary's region, or the regions are not known.
    PrimaryRegion,
    /// The same, where Fly's proxy has brought it from another region.
    Replayed,
    /// It writes, and came back: the primary region cannot be reached.
    ReplayFailed,
    /// It writes, and cannot be replayed.
    NotReplayable,
    /// It reads, cannot be replayed, and this region has not what its user has seen: the primary is read from here.
    BookmarkBehind,
}

/// What is added to an answer.
pub(crate) struct Headers {
    region: Option<String>,
    pub(crate) reason: Reason,
    /// For the user's next request.
    pub(crate) bookmark: Option<String>,
}

impl Reason {
    pub(crate) fn of_read(database: &Database, received: &Received) -> Self {
        match database.config().placement.other_region() {
            Some(_) => Self::Read,
            None => Self::in_primary_region(received),
        }
    }

    pub(crate) fn of_write(database: &Database, received: &Received) -> Self {
        match database.config().placement.other_region() {
            Some(_) if received.has("fly-replay-failed") => Self::ReplayFailed,
            Some(_) => Self::NotReplayable,
            None => Self::in_primary_region(received),
        }
    }

    fn in_primary_region(received: &Received) -> Self {
        if received.has("fly-replay-src") { Self::Replayed } else { Self::PrimaryRegion }
    }

    /// As it stands in the header.
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::PrimaryRegion => "primary-region",
            Self::Replayed => "replayed",
            Self::ReplayFailed => "replay-failed",
            Self::NotReplayable => "not-replayable",
            Self::BookmarkBehind => "bookmark-behind",
        }
    }
}

impl Headers {
    pub(crate) fn of(database: &Database, reason: Reason) -> Self {
        let region = database.config().placement.region().map(|region| region.as_str().to_owned());
        Self { region, reason, bookmark: None }
    }

    /// The app's answer with these, unless it has them already. Its body and its trailers go on as they are.
    pub(crate) async fn add_to(self, answer: Response, received: &Received) -> Result<Response, ErrorCode> {
        let fields = answer.get_headers().clone();
        self.add(&fields, received).map_err(internal)?;
        let status = answer.get_status_code();
        // What becomes of the answer on its way, the app learns by the end of its body.
        let (_, sent) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(answer, sent);
        let (response, _) = Response::new(fields, Some(body), trailers);
        // It was one before.
        let _ = response.set_status_code(status);
        // The app offers its body meanwhile: Spin sends what is there together with the headers, and what comes after them
        // may wait for 40 ms, for Nagle's algorithm.
        yield_async().await;
        Ok(response)
    }

    fn add(self, fields: &Fields, received: &Received) -> Result<(), HeaderError> {
        match self.region {
            // The app says so itself.
            Some(_) if fields.has("machine-region") => {}
            Some(region) => fields.append("machine-region", region.as_bytes())?,
            None => {}
        }
        fields.append("machine-reason", self.reason.name().as_bytes())?;
        let Some(bookmark) = self.bookmark.filter(|bookmark| !bookmark.is_empty()) else { return Ok(()) };
        let caching = fields.get("cache-control");
        let caching = caching.iter().map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
        let caching = caching.collect::<Vec<_>>().join(",");
        let says = |wanted: &str| caching.split(',').any(|says| says.trim().split('=').next() == Some(wanted));
        // One for everybody is not to bring a user's bookmark to others.
        if fields.has(NAME) || ["public", "immutable", "s-maxage"].into_iter().any(says) {
            return Ok(());
        }
        fields.append("set-cookie", cookie(&bookmark, received.is_https()).as_bytes())?;
        fields.append(NAME, bookmark.as_bytes())?;
        if says("private") || says("no-store") { Ok(()) } else { fields.append("cache-control", b"private") }
    }
}

/// Hands a request back to Fly's proxy.
pub(crate) async fn replayed((name, value): (&'static str, String)) -> Result<Response, ErrorCode> {
    own(409, vec![(name, value)], String::new()).await
}

/// A problem body (RFC 9457).
pub(crate) async fn problem(problem: &Problem, headers: Option<Headers>) -> Result<Response, ErrorCode> {
    let mut fields = vec![("content-type", "application/problem+json".to_owned())];
    fields.extend(problem.header().map(|(name, value)| (name, value.to_owned())));
    if let Some(Headers { region, reason, .. }) = headers {
        fields.extend(region.map(|region| ("machine-region", region)));
        fields.push(("machine-reason", reason.name().to_owned()));
    }
    own(problem.status(), fields, problem.body()).await
}

async fn own(status: u16, mut headers: Vec<(&str, String)>, body: String) -> Result<Response, ErrorCode> {
    // Without it the body is sent in chunks, and each response stalls for 40 ms.
    headers.push(("content-length", body.len().to_string()));
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    let fields = Fields::from_list(&headers).map_err(internal)?;
    yield_async().await;
    let (mut writer, contents) = wit_stream::new();
    let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(contents), trailers);
    // Ours are all status codes.
    let _ = response.set_status_code(status);
    spawn(async move {
        // A client that is gone needs no body.
        let _ = writer.write_all(body.into_bytes()).await;
        drop((writer, trailers_writer));
    });
    Ok(response)
}

fn internal(error: HeaderError) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("fly-middleware: {error:?}")))
}
