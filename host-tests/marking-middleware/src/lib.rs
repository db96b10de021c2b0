//! Adds a header `mark` to each request and to each answer: the value of the variable `mark`, or `denied` where it may
//! not read variables. Bodies and trailers pass by their handles. An error of what is behind it is a 502.
//!
//! A request header `trap` with its mark makes it trap; one of `stop` makes it answer by itself.
#![cfg(target_family = "wasm")]

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, HeaderError, Request, Response};
use spin_sdk::wasip3::wit_future;
use spin_sdk::{http, variables};

const MARK: &str = "mark";

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let mark = variables::get(MARK).await.unwrap_or_else(|_| "denied".to_owned());
        let headers = request.get_headers();
        let told = |verb: &str| headers.get(verb).contains(&mark.clone().into_bytes());
        assert!(!told("trap"), "{mark} was told to trap");
        if told("stop") {
            return empty(200, &mark);
        }
        match http::next(marked_request(request, &mark)?).await {
            Ok(response) => {
                let response = response.into_body().take_unstarted().expect("nobody has read the body yet");
                marked_response(response, &mark)
            }
            Err(error) => {
                eprintln!("{mark}: the next one failed: {error:?}");
                empty(502, &mark)
            }
        }
    }
}

fn empty(status: u16, mark: &str) -> Result<Response, ErrorCode> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(marked(&Fields::new(), mark)?, None, trailers);
    // It is a status code.
    let _ = response.set_status_code(status);
    Ok(response)
}

fn marked_request(request: Request, mark: &str) -> Result<Request, ErrorCode> {
    let headers = marked(&request.get_headers(), mark)?;
    let (method, path, options) = (request.get_method(), request.get_path_with_query(), request.get_options());
    let (scheme, authority) = (request.get_scheme(), request.get_authority());
    let (_, done) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, done);
    let (marked, _) = Request::new(headers, Some(contents), trailers, options);
    // They come from a request.
    let _ = marked.set_method(&method);
    let _ = marked.set_path_with_query(path.as_deref());
    let _ = marked.set_scheme(scheme.as_ref());
    let _ = marked.set_authority(authority.as_deref());
    Ok(marked)
}

fn marked_response(response: Response, mark: &str) -> Result<Response, ErrorCode> {
    let headers = marked(&response.get_headers(), mark)?;
    let status = response.get_status_code();
    let (_, done) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Response::consume_body(response, done);
    let (marked, _) = Response::new(headers, Some(contents), trailers);
    // It comes from a response.
    let _ = marked.set_status_code(status);
    Ok(marked)
}

/// The same headers with the mark. As a copy of the whole: headers that are set one by one are refused where they are
/// for one hop only, `host` and `transfer-encoding` among them, and a host may have let those in.
fn marked(headers: &Fields, mark: &str) -> Result<Fields, ErrorCode> {
    let headers = headers.clone();
    let refused = |error: HeaderError| ErrorCode::InternalError(Some(format!("{error:?}")));
    headers.append(MARK, mark.as_bytes()).map_err(refused)?;
    Ok(headers)
}
