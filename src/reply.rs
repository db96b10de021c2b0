//! One HTTP response, and how it leaves the guest: in one TCP segment, if Spin lets it.

use std::cell::Cell;

use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{spawn, yield_async};

thread_local! {
    /// How many bodies are on offer to Spin, as far as this instance knows.
    static ON_OFFER: Cell<usize> = const { Cell::new(0) };
}

/// One body, from its offer to its end, taken or not.
struct OnOffer;

impl OnOffer {
    fn new() -> Self {
        ON_OFFER.set(ON_OFFER.get() + 1);
        Self
    }
}

impl Drop for OnOffer {
    fn drop(&mut self) {
        ON_OFFER.set(ON_OFFER.get() - 1);
    }
}

/// Lets Spin take the bodies that are on offer before the caller goes on.
pub(crate) async fn let_bodies_go() {
    if ON_OFFER.get() > 0 {
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
    /// `content-length` keeps it from being sent in chunks. The body is on offer when Spin hands the response to the
    /// client's connection, and is taken a little later: after what else was ready in this instance at that moment. A
    /// connection that wakes up before that, on another thread, sends the headers alone. So the response is returned
    /// when nothing else is ready here, which is what [`yield_async`] mostly waits for; nothing else is on offer with
    /// the body, trailers for one; and a request that comes at that moment gives way ([`let_bodies_go`]). What is left
    /// of that race is Spin's.
    ///
    /// # Errors
    /// Where the host refuses a header; ours are all visible ASCII.
    pub(crate) async fn send(self) -> Result<Response, ErrorCode> {
        let length = self.body.len().to_string();
        let headers: Vec<(String, Vec<u8>)> =
            [("content-type", self.media_type.to_owned()), ("content-length", length)]
                .into_iter()
                .chain(self.headers)
                .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                .collect();
        let headers =
            Fields::from_list(&headers).map_err(|error| ErrorCode::InternalError(Some(format!("{error}"))))?;
        yield_async().await;
        let (mut writer, contents) = wit_stream::new();
        // There are no trailers, which the future says by default when its writer is dropped.
        let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(headers, Some(contents), trailers);
        // It can fail for what is not a status code only.
        let _ = response.set_status_code(self.status);
        let body = self.body.into_bytes();
        let on_offer = OnOffer::new();
        spawn(async move {
            // A client that is gone needs no body.
            let _ = writer.write_all(body).await;
            drop((on_offer, writer, trailers_writer));
        });
        Ok(response)
    }
}
