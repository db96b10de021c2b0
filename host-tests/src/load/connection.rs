//! One keep-alive connection that asks the same over and over, and whether an answer is as it should be.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::segments;
use crate::postgres::PASSWORD;

/// What is asked for, and the body of a good answer.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) path: &'static str,
    pub(super) body: &'static str,
}

impl Default for Asked {
    fn default() -> Self {
        Self { path: "/", body: r#"{"status":"ok"}"# }
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    request: String,
    body: &'static str,
    unread: Vec<u8>,
    responses: u64,
    reads: u64,
}

#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) wrong: Option<String>,
    pub(super) served_by: (String, String),
    pub(super) database: Option<Duration>,
    pub(super) chunked: bool,
    /// The server closes the connection behind it.
    pub(super) last: bool,
}

impl Response {
    pub(super) fn wrong(why: impl Into<String>) -> Self {
        Self { wrong: Some(why.into()), ..Self::default() }
    }
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, Asked { path, body }: Asked) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        Ok(Self { stream, request, body, unread: Vec::with_capacity(4096), responses: 0, reads: 0 })
    }

    /// Responses that came in more than one segment; where the kernel does not count them, in more than one read.
    pub(super) fn split(&self) -> u64 {
        segments::received(&self.stream).unwrap_or(self.reads).saturating_sub(self.responses)
    }

    pub(super) async fn get(&mut self) -> Result<Response> {
        self.stream.write_all(self.request.as_bytes()).await.context("sending a request")?;
        self.unread.clear();
        loop {
            let read = self.stream.read_buf(&mut self.unread).await.context("reading a response")?;
            ensure!(read > 0, "the connection ended");
            self.reads += 1;
            if let Some(response) = parse(&self.unread, self.body)? {
                self.responses += 1;
                return Ok(response);
            }
        }
    }
}

/// A response, whose body should be `expected`; `None` where more of it is to come.
fn parse(bytes: &[u8], expected: &str) -> Result<Option<Response>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let body = String::from_utf8_lossy(&bytes[end..]);
    let length = header("content-length").map(str::parse::<usize>).transpose()?;
    if !length.map_or(body.ends_with("0\r\n\r\n"), |length| bytes.len() - end >= length) {
        return Ok(None);
    }
    let good = response.code == Some(200) && if length.is_some() { body == expected } else { body.contains(expected) };
    let wrong = if String::from_utf8_lossy(bytes).contains(PASSWORD) {
        Some("the password is in it".to_owned())
    } else {
        (!good).then(|| format!("{} {body}", response.code.unwrap_or_default()))
    };
    let text = |name| header(name).unwrap_or_default().to_owned();
    let milliseconds = header("server-timing").and_then(|timing| timing.strip_prefix("db;dur=")?.parse::<f64>().ok());
    Ok(Some(Response {
        wrong,
        served_by: (text("database-candidate"), text("database-role")),
        database: milliseconds.map(|ms| Duration::from_secs_f64(ms / 1e3)),
        chunked: length.is_none(),
        last: header("connection").is_some_and(|connection| connection.eq_ignore_ascii_case("close")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_good_or_wrong() {
        let parse = |bytes: &[u8]| parse(bytes, Asked::default().body);
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nserver-timing: db;dur=1.500\r\n\
                     database-role: replica\r\n\r\n{\"status\":\"ok\"}";
        for length in 0..good.len() {
            assert!(parse(&good[..length]).unwrap().is_none(), "{length} bytes");
        }
        let answer = parse(good).unwrap().unwrap();
        assert_eq!((answer.wrong, answer.database, answer.chunked), (None, Some(Duration::from_micros(1500)), false));
        assert_eq!(answer.served_by, (String::new(), "replica".to_owned()));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nf\r\n{\"status\":\"ok\"}\r\n0\r\n\r\n";
        let answer = parse(chunked).unwrap().unwrap();
        assert_eq!((answer.wrong, answer.chunked), (None, true));
        for (response, wrong) in [
            ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno", "503 no"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "200 {}"),
            ("HTTP/1.1 200 OK\r\nx: p@ss:5432/%40\r\ncontent-length: 0\r\n\r\n", "the password is in it"),
        ] {
            assert_eq!(parse(response.as_bytes()).unwrap().unwrap().wrong.as_deref(), Some(wrong));
        }
    }
}
