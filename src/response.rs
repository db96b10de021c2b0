//! How a response leaves the guest: in one TCP segment, if Spin lets it.

use std::cell::Cell;

use anyhow::{Context, Result};
use spin_sdk::wasip3::http::types::{Fields, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{spawn, yield_async};

thread_local! {
    /// How many bodies of this instance Spin has not taken yet.
    static PENDING: Cell<usize> = const { Cell::new(0) };
}

/// Counts one body until it was taken, or dropped.
struct PendingBody;

impl PendingBody {
    fn new() -> Self {
        PENDING.set(PENDING.get() + 1);
        Self
    }
}

impl Drop for PendingBody {
    fn drop(&mut self) {
        PENDING.set(PENDING.get() - 1);
    }
}

/// Lets Spin take the bodies that are pending before the caller goes on.
pub(crate) async fn yield_to_pending_bodies() {
    if PENDING.get() > 0 {
        yield_async().await;
    }
}

/// Status, headers and body of a response. The body's media type and length are added when it is sent.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) media_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// Hands the response over to Spin, whose server leaves Nagle's algorithm on: a response that leaves in two TCP
    /// segments waits some 40 ms for the client's delayed acknowledgement.
    ///
    /// `content-length` keeps it from being sent in chunks. Spin hands the response to the client's connection first, and
    /// takes the body a little later: after whatever else was ready in this instance at that moment. If the connection
    /// wakes up before that, on another thread, it sends the headers alone. To make that rare,
    /// - the response is returned when nothing else is ready here, which is what [`yield_async`] mostly waits for;
    /// - nothing is written but the body, no trailers for one;
    /// - a request that comes at that moment lets the body go first ([`yield_to_pending_bodies`]).
    ///
    /// The rest of that race is Spin's.
    ///
    /// # Errors
    /// Where the host refuses a header; ours are all visible ASCII.
    pub(crate) async fn send(self) -> Result<Response> {
        let length = self.body.len().to_string();
        let headers: Vec<(String, Vec<u8>)> =
            [("content-type", self.media_type.to_owned()), ("content-length", length)]
                .into_iter()
                .chain(self.headers)
                .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                .collect();
        let headers = Fields::from_list(&headers).context("making the headers of a response")?;
        yield_async().await;
        let (mut writer, contents) = wit_stream::new();
        // There are no trailers, which the future says by default when its writer is dropped.
        let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(headers, Some(contents), trailers);
        // It can fail for what is not a status code only.
        let _ = response.set_status_code(self.status);
        let body = self.body.into_bytes();
        let pending = PendingBody::new();
        spawn(async move {
            // A client that is gone needs no body.
            let _ = writer.write_all(body).await;
            drop((pending, writer, trailers_writer));
        });
        Ok(response)
    }
}
