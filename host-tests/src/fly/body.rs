//! Bodies on their way: each piece arrives one distance later, and the first megabyte of a request is kept for a replay.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// "Requests larger than 1MB cannot be replayed" (docs.fly.io, dynamic request routing; the page on error codes says
/// 10 MB). Assumed: the body counts, and a megabyte is a million bytes.
pub(super) const REPLAYABLE: usize = 1_000_000;

/// How many pieces may be under way, as the window of a TCP connection bounds them.
const UNDER_WAY: usize = 64;

/// Ends with its owner.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A piece and when it was sent; nothing for the end, so that a connection that broke is no end.
type Piece = (Instant, io::Result<Option<Bytes>>);

/// The body that arrives a `distance` later. It keeps `owned` for as long as it lasts.
fn arriving<T: Send + 'static>(pieces: mpsc::Receiver<Piece>, distance: Duration, owned: T) -> Body {
    let frames = stream::try_unfold((pieces, owned), move |(mut pieces, owned)| async move {
        let Some((sent, piece)) = pieces.recv().await else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        sleep_until(sent + distance).await;
        Ok(piece?.map(|data| (Frame::data(data), (pieces, owned))))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Reads a body and sends it on. `keep` sees each piece, and says whether it needs the rest where nobody else does.
async fn read(mut body: Incoming, pieces: mpsc::Sender<Piece>, mut keep: impl FnMut(&Bytes) -> bool) -> io::Result<()> {
    loop {
        let piece = match body.frame().await {
            None => Ok(None),
            // Trailers are not carried.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Ok(Some(data)),
                Err(_) => continue,
            },
            Some(Err(error)) => Err(io::Error::other(error)),
        };
        let kept = piece.as_ref().is_ok_and(|piece| piece.as_ref().is_some_and(&mut keep));
        let outcome = match &piece {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(())),
            Err(_) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        };
        let unread = pieces.send((Instant::now(), piece)).await.is_err();
        match outcome {
            Some(outcome) => return outcome,
            None if unread && !kept => return Err(io::ErrorKind::BrokenPipe.into()),
            None => {}
        }
    }
}

/// The body of a Machine's answer, read from now on, that arrives a `distance` later.
pub(super) fn response_body<T: Send + 'static>(body: Incoming, distance: Duration, owned: T) -> Body {
    if body.is_end_stream() {
        return empty();
    }
    let (sender, pieces) = mpsc::channel(UNDER_WAY);
    let reading = Task::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            _ = read(body, sender, |_| false) => {}
            () = gone.closed() => {}
        }
    });
    arriving(pieces, distance, (reading, owned))
}

#[derive(Clone, Debug)]
enum Kept {
    Reading,
    Whole(Bytes),
    TooLong,
    Broken,
}

/// The body of a request, read from now on.
pub(super) struct RequestBody {
    pieces: Option<mpsc::Receiver<Piece>>,
    kept: watch::Receiver<Kept>,
    reading: Arc<Task>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming) -> Self {
        let (sender, pieces) = mpsc::channel(UNDER_WAY);
        let (said, kept) = watch::channel(Kept::Reading);
        // A request without a body stays one, instead of having a body of no bytes.
        let pieces = (!body.is_end_stream()).then_some(pieces);
        let reading = Task::spawn(async move {
            let mut bytes = Some(BytesMut::new());
            let keep = |piece: &Bytes| {
                bytes = bytes.take().filter(|bytes| bytes.len() + piece.len() <= REPLAYABLE);
                match &mut bytes {
                    Some(bytes) => bytes.extend_from_slice(piece),
                    None => drop(said.send_replace(Kept::TooLong)),
                }
                bytes.is_some()
            };
            let outcome = read(body, sender, keep).await;
            match (outcome, bytes) {
                (Ok(()), Some(bytes)) => drop(said.send_replace(Kept::Whole(bytes.freeze()))),
                (Err(_), Some(_)) => drop(said.send_replace(Kept::Broken)),
                (_, None) => {}
            }
        });
        Self { pieces, kept, reading: Arc::new(reading) }
    }

    /// What keeps it coming in, which an answer has to outlive.
    pub(super) fn reading(&self) -> Arc<Task> {
        Arc::clone(&self.reading)
    }

    /// For the first Machine, while it comes in.
    pub(super) fn live(&mut self, distance: Duration) -> Body {
        self.pieces.take().map_or_else(empty, |pieces| arriving(pieces, distance, ()))
    }

    /// For another Machine, once all of it has come in. Nothing where it is too long, or where the client has broken off.
    pub(super) async fn again(&mut self) -> Option<Body> {
        // Nobody else waits for the rest.
        self.pieces = None;
        let kept = self.kept.wait_for(|kept| !matches!(kept, Kept::Reading)).await.ok()?;
        match &*kept {
            Kept::Whole(bytes) if bytes.is_empty() => Some(empty()),
            Kept::Whole(bytes) => Some(full(bytes.clone())),
            Kept::Reading | Kept::TooLong | Kept::Broken => None,
        }
    }
}
