//! What the instances of an application share, and what belongs to one of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use deadpool_postgres::Object;
use http::{Request, Response};
use tokio::sync::OnceCell;
use wasmtime::StoreLimits;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::allowed_hosts::AllowedHosts;
use super::bindings::spin::postgres::postgres::Error;
use super::pipe::Pipe;
use super::pool::Pools;
use super::resolver::Resolver;
use super::resources::Entries;
use crate::logs::Logs;

/// What the instances of one application share.
pub(crate) struct App {
    pub(crate) pools: Pools,
    pub(crate) variables: Resolver,
    /// As they are in the manifest.
    pub(crate) allowed_outbound_hosts: Vec<String>,
    /// The labels that the component may use.
    pub(crate) key_value_stores: Vec<String>,
    pub(crate) entries: Entries,
    pub(crate) logs: Logs,
    /// What everybody is told at `/.well-known/spin/info`.
    pub(crate) info: String,
    /// Set when the server stops: instances that are cut off then have not failed.
    pub(crate) stopping: AtomicBool,
}

/// What belongs to one instance.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) app: Arc<App>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) limits: StoreLimits,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound_http: NoOutboundHttp,
}

impl State {
    pub(crate) fn new(app: &Arc<App>, limits: StoreLimits) -> Self {
        let pipe = || Pipe(app.logs.clone());
        Self {
            table: ResourceTable::new(),
            app: Arc::clone(app),
            outbound: Arc::new(Outbound { app: Arc::clone(app), allowed: OnceCell::new() }),
            limits,
            wasi: WasiCtx::builder().stdout(pipe()).stderr(pipe()).build(),
            http: WasiHttpCtx::new(),
            outbound_http: NoOutboundHttp,
        }
    }
}

/// How an instance reaches databases.
pub(crate) struct Outbound {
    app: Arc<App>,
    /// Known from the instance's first connection on.
    allowed: OnceCell<AllowedHosts>,
}

impl Outbound {
    /// A connection for an address, as Spin's `open` gives it.
    pub(crate) async fn open(&self, address: &str, root_ca: Option<&str>) -> Result<Arc<Object>, Error> {
        let app = &self.app;
        let resolve = || AllowedHosts::resolve(&app.allowed_outbound_hosts, &app.variables);
        app.pools.open(address, root_ca, self.allowed.get_or_init(resolve).await).await
    }
}

/// Gives the generated bindings the whole state.
pub(crate) struct Spin;

impl HasData for Spin {
    type Data<'a> = &'a mut State;
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound_http }
    }
}

/// Requests of the guest's own are denied, as Spin denies them to a component without http in its allowed hosts.
struct NoOutboundHttp;

type Outcome = Result<(), wasmtime_wasi_http::Error>;
type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Outcome> + Send>), wasmtime_wasi_http::Error>;

impl WasiHttpHooks for NoOutboundHttp {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Outcome> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
    }
}
