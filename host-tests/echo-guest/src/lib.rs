//! Says what it was sent. `/echo` sends the body and the trailers back, piece by piece; `/fail` is an error, `/trap` traps
//! instead of an answer, `/trap-late` after a part of one; every other path is answered with the request's line and
//! headers, and with the headers that the request has with `answer-` before their names.
#![cfg(target_family = "wasm")]

use std::fmt::Write;

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, HeaderError, Request, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{StreamResult, spawn};

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        match request.get_path_with_query().as_deref() {
            Some("/echo") => echo(request),
            Some("/fail") => Err(ErrorCode::InternalError(Some("told to fail".to_owned()))),
            Some("/trap") => panic!("told to trap"),
            Some("/trap-late") => trap_late(),
            path => said(&seen(&request, path.unwrap_or_default()), asked_for(&request)),
        }
    }
}

fn echo(request: Request) -> Result<Response, ErrorCode> {
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Request::consume_body(request, done);
    let (mut to, contents) = wit_stream::new();
    spawn(async move {
        loop {
            let (result, piece) = from.read(Vec::with_capacity(64 * 1024)).await;
            // A client that is gone needs no more.
            if !to.write_all(piece).await.is_empty() || matches!(result, StreamResult::Dropped) {
                break;
            }
        }
    });
    // An HTTP/1.1 server sends only those trailers that are announced.
    let headers = fields(&[("trailer", "checksum".to_owned())])?;
    Ok(Response::new(headers, Some(contents), trailers).0)
}

fn trap_late() -> Result<Response, ErrorCode> {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    spawn(async move {
        let _ = writer.write_all(b"a part".to_vec()).await;
        panic!("told to trap");
    });
    Ok(Response::new(fields(&[])?, Some(contents), trailers).0)
}

fn seen(request: &Request, path: &str) -> String {
    let mut text = format!(
        "{:?} {path} {:?} {}\n",
        request.get_method(),
        request.get_scheme(),
        request.get_authority().unwrap_or_default()
    );
    for (name, value) in request.get_headers().copy_all() {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}

/// The headers that a request wants in its answer.
fn asked_for(request: &Request) -> Vec<(String, Vec<u8>)> {
    let headers = request.get_headers().copy_all().into_iter();
    headers.filter_map(|(name, value)| Some((name.strip_prefix("answer-")?.to_owned(), value))).collect()
}

fn said(text: &str, more: Vec<(String, Vec<u8>)>) -> Result<Response, ErrorCode> {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let headers = fields(&[("content-length", text.len().to_string())])?;
    for (name, value) in more {
        headers.append(&name, &value).map_err(refused)?;
    }
    let text = text.as_bytes().to_vec();
    spawn(async move {
        let _ = writer.write_all(text).await;
    });
    Ok(Response::new(headers, Some(contents), trailers).0)
}

fn fields(headers: &[(&str, String)]) -> Result<Fields, ErrorCode> {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    Fields::from_list(&headers).map_err(refused)
}

fn refused(error: HeaderError) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("{error:?}")))
}
