//! The export that Spin calls. Not by `#[spin_sdk::http_service]`: its conversions to and from the `http` crate are a
//! sixth of the component, and copy every header of a request that nobody looks at.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

struct Service;

spin_sdk::wasip3::http::service::export!(Service);

impl Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        crate::http::handle(request).await
    }
}
