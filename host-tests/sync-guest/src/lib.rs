//! Runs the statement that it is sent, through the version of `spin:postgres` in the path, and says what came of it:
//! `POST /3.0.0` or `POST /4.0.0`. The address is the variable `database_url`.
#![cfg(target_family = "wasm")]

use wasip2::http::types::{Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::StreamError;

mod host {
    wit_bindgen::generate!({
        path: ["../../wit/spin-postgres@3.0.0", "../../wit/spin-postgres@4.0.0", "../../wit/fermyon-spin@2.0.0"],
        inline: "
            package tests:sync-guest;
            world guest {
                import fermyon:spin/variables@2.0.0;
                import spin:postgres/postgres@3.0.0;
                import spin:postgres/postgres@4.0.0;
            }
        ",
        world: "tests:sync-guest/guest",
        generate_all,
    });
}

/// The first row of a statement's, with the name and the type of its first column, or the error.
macro_rules! ask {
    ($($module:ident)::+, $url:expr, $statement:expr) => {{
        use $($module)::+ as wit;
        let rows = wit::Connection::open($url).and_then(|connection| connection.query($statement, &[]));
        match rows {
            Ok(rows) => format!("{:?} {:?}", rows.columns.first(), rows.rows.first()),
            Err(error) => format!("{error:?}"),
        }
    }};
}
struct Component;

wasip2::http::proxy::export!(Component);

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let statement = text(&request.consume().expect("nobody has read the body yet"));
        let answer = match (host::fermyon::spin::variables::get("database_url"), path.as_str()) {
            (Err(error), _) => format!("{error:?}"),
            (Ok(url), "/3.0.0") => ask!(host::spin::postgres3_0_0::postgres, &url, &statement),
            (Ok(url), _) => ask!(host::spin::postgres4_0_0::postgres, &url, &statement),
        };
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("nobody has taken the body yet");
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            // A client that is gone needs no answer.
            let _ = stream.blocking_write_and_flush(&answer.as_bytes()[..answer.len().min(4096)]);
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn text(body: &IncomingBody) -> String {
    let stream = body.stream().expect("nobody reads the body yet");
    let mut read = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(bytes) => read.extend(bytes),
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => {
                return String::from_utf8_lossy(&read).into_owned();
            }
        }
    }
}
