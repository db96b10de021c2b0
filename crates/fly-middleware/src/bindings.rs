//! What the request goes on to: the next member of the chain, which is the app. The interface is exported by `wasip3`.

use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

mod generated {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        path: ["../../wit/wasi-clocks@0.3.0", "../../wit/wasi-http@0.3.0"],
        inline: "
            package nearest-replica:middleware;
            world middleware {
                import wasi:http/handler@0.3.0;
            }
        ",
        world: "nearest-replica:middleware/middleware",
        with: { "wasi:http/types@0.3.0": spin_sdk::wasip3::http::types },
        generate_all,
    });
}

/// Lets the app answer.
pub(crate) async fn next(request: Request) -> Result<Response, ErrorCode> {
    generated::wasi::http::handler::handle(request).await
}
