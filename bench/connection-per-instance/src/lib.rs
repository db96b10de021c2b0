//! The smallest component that keeps its connection for the life of the instance, which is unsafe. With `extras` it
//! does some of what ours does, so that the price of each can be told.
#![cfg(target_family = "wasm")]

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::pg::Connection;
use spin_sdk::{time, variables};

struct Kept {
    connection: Connection,
    count: bool,
    headers: bool,
    deadline: bool,
}

thread_local! {
    static KEPT: RefCell<Option<Rc<Kept>>> = const { RefCell::new(None) };
}

#[spin_sdk::http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    let kept = kept().await?;
    let reading = async {
        if kept.count {
            kept.connection.execute("SELECT 1 WHERE pg_is_in_recovery()", []).await?;
        } else {
            kept.connection.query("SELECT 1", []).await?.collect().await?;
        }
        anyhow::Ok(())
    };
    if kept.deadline {
        within(Duration::from_secs(5), reading).await?
    } else {
        reading.await?
    };
    let mut response = Response::builder().header("content-type", "application/json").header("content-length", "15");
    if kept.headers {
        for (name, value) in [
            ("server-timing", "db;dur=1.000"),
            ("machine-region", "fra"),
            ("database-role", "replica"),
            ("database-candidate", "local"),
        ] {
            response = response.header(name, value);
        }
    }
    Ok(response.body(r#"{"status":"ok"}"#.to_owned())?)
}

async fn kept() -> anyhow::Result<Rc<Kept>> {
    if let Some(kept) = KEPT.with_borrow(Clone::clone) {
        return Ok(kept);
    }
    let extras = variables::get("extras").await?;
    let connection = Connection::open(variables::get("database_url").await?).await?;
    let [count, headers, deadline] = ["count", "headers", "deadline"].map(|extra| extras.contains(extra));
    let kept = Kept { connection, count, headers, deadline };
    Ok(KEPT.with_borrow_mut(|slot| Rc::clone(slot.get_or_insert(Rc::new(kept)))))
}

async fn within<T>(limit: Duration, future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut future, mut sleep) = (pin!(future), pin!(time::sleep(limit)));
    std::future::poll_fn(|cx| match (future.as_mut().poll(cx), sleep.as_mut().poll(cx)) {
        (Poll::Ready(result), _) => Poll::Ready(result),
        (Poll::Pending, Poll::Ready(())) => Poll::Ready(Err(anyhow::anyhow!("no answer in time"))),
        (Poll::Pending, Poll::Pending) => Poll::Pending,
    })
    .await
}
