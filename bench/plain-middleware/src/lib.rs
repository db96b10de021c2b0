//! The floor: middleware that hands each request on and its answer back, and does nothing else. What it costs is what Spin
//! and wasmtime take for one component more in front of another.
#![cfg(target_family = "wasm")]

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wit_bindgen::yield_async;

#[path = "../../../crates/fly-middleware/src/bindings.rs"]
mod bindings;

struct Middleware;

spin_sdk::wasip3::http::service::export!(Middleware);

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let response = bindings::next(request).await;
        // As in ours: without it some answers leave in two segments, and stall for 40 ms.
        yield_async().await;
        response
    }
}
