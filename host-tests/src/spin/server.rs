//! Spin's HTTP server: HTTP/1.1 with keep-alive over hyper, **without** TCP_NODELAY, as Spin leaves it
//! (Spin `crates/trigger-http/src/server.rs`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyHandler;

use super::app::prepare;
use super::options::Options;
use super::state::App;
use super::worker::Workers;
use crate::logs::Logs;

/// A running application. Dropping it cuts every request, as Spin does on SIGTERM.
pub struct Server {
    address: SocketAddr,
    app: Arc<App>,
    accepting: JoinHandle<()>,
}

struct Service {
    app: Arc<App>,
    workers: ProxyHandler<Workers>,
    logs: Logs,
    /// One line for each request, for people who watch.
    access_log: bool,
}

impl Server {
    /// Starts to serve on `listen`; port 0 takes a free one.
    ///
    /// # Errors
    /// Where Spin would not start: a bad manifest, a required variable without a value, a taken port.
    pub async fn start(listen: SocketAddr, options: Options, logs: Logs, access_log: bool) -> Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening on {listen}: is something else using this port?"))?;
        let address = listener.local_addr()?;
        let workers = tokio::task::spawn_blocking({
            let logs = logs.clone();
            move || prepare(options, logs)
        });
        let workers = workers.await??;
        let app = Arc::clone(&workers.app);
        let service =
            Arc::new(Service { app: Arc::clone(&app), workers: ProxyHandler::new(workers), logs, access_log });
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, client)) = listener.accept().await {
                connections.spawn(serve(stream, client, Arc::clone(&service)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, app, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.stopping.store(true, Ordering::Relaxed);
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, client: SocketAddr, service: Arc<Service>) {
    let handle = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request, client).await) }
    });
    // A client that goes away in the middle is no news.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), handle).await;
}

impl Service {
    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let (started, method, path) = (Instant::now(), request.method().clone(), request.uri().path().to_owned());
        let response = self.route(request, client).await.unwrap_or_else(|error| {
            self.logs.line(&format!("ERROR Error processing request: {error:#}"));
            plain(StatusCode::INTERNAL_SERVER_ERROR, "")
        });
        if self.access_log {
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
            self.logs.line(&format!(
                "{method} {path} {} {:.1}ms role={} candidate={}",
                response.status().as_u16(),
                started.elapsed().as_secs_f64() * 1e3,
                header("database-role"),
                header("database-candidate"),
            ));
        }
        response
    }

    async fn route(&self, mut request: Request<Incoming>, client: SocketAddr) -> Result<Response<WasiBody>> {
        request.headers_mut().remove(header::CONNECTION);
        match request.uri().path() {
            "/.well-known/spin/health" => return Ok(plain(StatusCode::OK, "OK")),
            "/.well-known/spin/info" => {
                let mut info = plain(StatusCode::OK, self.app.info.clone());
                info.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                return Ok(info);
            }
            path if path.starts_with("/.well-known/spin/") => return Ok(plain(StatusCode::NOT_FOUND, "")),
            _ => {}
        }
        make_absolute(&mut request)?;
        add_headers(&mut request, client)?;
        let request = request.map(|body| body.map_err(wasmtime_wasi_http::Error::from).boxed_unsync());
        // Outside of the guest's own errors, these are traps and time-outs.
        self.workers.handle((), request).await.map_err(|error| anyhow::anyhow!("{error:#}"))
    }
}

/// The request's authority is in its `Host` header or in its URI, and must be the same where it is in both.
fn make_absolute(request: &mut Request<Incoming>) -> Result<()> {
    let mut parts = request.uri().clone().into_parts();
    let host = request.headers().get(header::HOST);
    let host = host.map(|host| host.to_str()).transpose().context("'Host' header is not valid UTF-8")?;
    let host = host.map(str::parse::<Authority>).transpose().context("'Host' header contains an invalid authority")?;
    parts.authority = match (host, parts.authority) {
        (None, None) => bail!("no 'Host' header present in request"),
        (Some(host), Some(uri)) if host != uri => bail!("authority in 'Host' header does not match authority in URI"),
        (host, uri) => host.or(uri),
    };
    parts.scheme = Some(Scheme::HTTP);
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(())
}

/// What Spin tells every guest about the route `/...`: after what a client says under the same names. The URL has the
/// `Host` header in it, which HTTP/2 does without.
fn add_headers(request: &mut Request<Incoming>, client: SocketAddr) -> Result<()> {
    let uri = request.uri();
    let host = request.headers().get(header::HOST).map_or(Ok("localhost"), HeaderValue::to_str)?;
    let headers = [
        ("spin-path-info", uri.path().to_owned()),
        ("spin-full-url", format!("http://{host}{}", uri.path_and_query().map_or("", PathAndQuery::as_str))),
        ("spin-matched-route", "/...".to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", "/...".to_owned()),
        ("spin-component-route", String::new()),
        ("spin-client-addr", client.to_string()),
    ];
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(&value)?);
    }
    Ok(())
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<WasiBody> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
