//! What goes back to the client: the app's answer with a few headers more, or one of the middleware's own.

use nearest_replica::{Database, Problem};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, HeaderError, Method, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{spawn, yield_async};

use crate::bookmark::{NAME, cookie};
use crate::received::Received;

/// The status of a new response.
const OK: u16 = 200;
const BAD_GATEWAY: u16 = 502;

/// Why a request is answered by this Machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It only reads, and this is where it came.
    Read,
    /// The primary's region, or the regions are not known.
    PrimaryRegion,
    /// The same, where Fly's proxy has brought it from another region.
    Replayed,
    /// It writes, and came back: its replay in the primary region has failed.
    ReplayFailed,
    /// It writes, and cannot be replayed.
    NotReplayable,
    /// It reads, and this region has not what its user has seen; it cannot be replayed, and the primary is read from here.
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
        // The app is told at once that its answer was sent: to tell what becomes of it would keep this task until then.
        // Whoever reads that is there only after the call: written before, it would cost an event of its own.
        let (writer, sent) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(answer, sent);
        drop(writer);
        let (response, _) = Response::new(fields, Some(body), trailers);
        if status != OK && response.set_status_code(status).is_err() {
            // One that the app was given by another server, and that no answer of its own may have.
            let _ = response.set_status_code(BAD_GATEWAY);
        }
        // The app offers its body meanwhile: Spin sends what is there together with the headers, and what comes after them
        // may wait for 40 ms, for Nagle's algorithm.
        yield_async().await;
        Ok(response)
    }

    fn add(self, fields: &Fields, received: &Received) -> Result<(), HeaderError> {
        let own = [("machine-region", self.region.as_deref()), ("machine-reason", Some(self.reason.name()))];
        for (name, value) in own {
            // What the app says itself stays.
            if let Some(value) = value
                && !fields.has(name)
            {
                fields.append(name, value.as_bytes())?;
            }
        }
        let Some(bookmark) = self.bookmark.filter(|bookmark| !bookmark.is_empty()) else { return Ok(()) };
        let caching = Caching::of(fields, &received.method);
        if fields.has(NAME) || caching == Caching::Shared {
            return Ok(());
        }
        fields.append("set-cookie", cookie(&bookmark, received.is_https()).as_bytes())?;
        fields.append(NAME, bookmark.as_bytes())?;
        match caching {
            Caching::Private | Caching::Shared => Ok(()),
            Caching::Unsaid => fields.append("cache-control", b"private"),
            Caching::Needless => fields.set("cache-control", &[b"private".to_vec()]),
        }
    }
}

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caching {
    /// Caches that serve it to others: it is not to bring a user's bookmark to them.
    Shared,
    /// The same, of an answer to a method that caches do not keep answers to: its user may well read next.
    Needless,
    /// Nobody but the client.
    Private,
    /// The app does not say.
    Unsaid,
}

impl Caching {
    fn of(fields: &Fields, method: &Method) -> Self {
        let of_all = directives(fields.get("cache-control"));
        let says = |wanted: &str| of_all.iter().any(|directive| directive.split('=').next() == Some(wanted));
        // Caches that have a header of their own go by that alone.
        let for_shared = fields.copy_all().into_iter().filter(|(name, _)| {
            name.ends_with("cdn-cache-control") || ["surrogate-control", "edge-control"].contains(&name.as_str())
        });
        let mut for_shared = for_shared.map(|(_, value)| directives(vec![value]));
        let is_private = are_private(&of_all);
        let is_shared = says("public")
            || says("s-maxage")
            || (says("immutable") && !is_private)
            || for_shared.any(|directives| !are_private(&directives));
        let is_kept = matches!(method, Method::Get | Method::Head) || (says("public") && says("immutable"));
        match (is_shared, is_kept) {
            (true, true) => Self::Shared,
            (true, false) => Self::Needless,
            (false, _) if is_private => Self::Private,
            (false, _) => Self::Unsaid,
        }
    }
}

/// With a field name as its value, `private` is about that field only.
fn are_private(directives: &[String]) -> bool {
    directives.iter().any(|directive| directive == "private" || directive == "no-store")
}

/// In lower case, without texts in quotes.
fn directives(values: Vec<Vec<u8>>) -> Vec<String> {
    let of_one = |value: Vec<u8>| {
        let text = String::from_utf8_lossy(&value).to_ascii_lowercase();
        let unquoted: String = text.split('"').step_by(2).collect();
        unquoted.split(',').map(|directive| directive.trim().to_owned()).collect::<Vec<_>>()
    };
    values.into_iter().flat_map(of_one).collect()
}

/// Hands a request back to Fly's proxy.
pub(crate) async fn replayed((name, value): (&'static str, String)) -> Result<Response, ErrorCode> {
    own(409, &[(name, value)], None, String::new()).await
}

/// A problem body (RFC 9457), with the headers of an answer to a request.
pub(crate) async fn problem(problem: &Problem, headers: Option<(Headers, &Received)>) -> Result<Response, ErrorCode> {
    let mut fields = vec![("content-type", "application/problem+json".to_owned())];
    fields.extend(problem.header().map(|(name, value)| (name, value.to_owned())));
    own(problem.status(), &fields, headers, problem.body()).await
}

async fn own(
    status: u16,
    own: &[(&str, String)],
    headers: Option<(Headers, &Received)>,
    body: String,
) -> Result<Response, ErrorCode> {
    let fields = Fields::new();
    for (name, value) in own {
        fields.append(name, value.as_bytes()).map_err(internal)?;
    }
    // Without it the body is sent in chunks, and each response stalls for 40 ms.
    fields.append("content-length", body.len().to_string().as_bytes()).map_err(internal)?;
    if let Some((headers, received)) = headers {
        headers.add(&fields, received).map_err(internal)?;
    }
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
