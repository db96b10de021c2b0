//! One HTTP response, and how it leaves the guest: in one TCP segment, if Spin lets it.

use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::spawn;

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
    /// `content-length` keeps it from being sent in chunks. The body is on offer when the host hands the response to
    /// the connection, and nothing else is: were the trailers, too, then the host would run this guest once more before
    /// it takes the body, and the connection, which does not wait, would send the headers alone nearly every time. What
    /// is left of that race is the host's.
    ///
    /// # Errors
    /// Where the host refuses a header; ours are all visible ASCII.
    pub(crate) fn send(self) -> Result<Response, ErrorCode> {
        let length = self.body.len().to_string();
        let headers: Vec<(String, Vec<u8>)> =
            [("content-type", self.media_type.to_owned()), ("content-length", length)]
                .into_iter()
                .chain(self.headers)
                .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                .collect();
        let headers =
            Fields::from_list(&headers).map_err(|error| ErrorCode::InternalError(Some(format!("{error}"))))?;
        let (mut writer, contents) = wit_stream::new();
        // There are no trailers, which the future says by default when its writer is dropped.
        let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(headers, Some(contents), trailers);
        // It can fail for what is not a status code only.
        let _ = response.set_status_code(self.status);
        let body = self.body.into_bytes();
        spawn(async move {
            // A client that is gone needs no body.
            let _ = writer.write_all(body).await;
            drop((writer, trailers_writer));
        });
        Ok(response)
    }
}
