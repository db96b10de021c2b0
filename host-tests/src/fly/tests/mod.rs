//! Claims about the imitated proxy, through real sockets.

mod bodies;
mod fallback;
mod fixtures;
mod replays;
mod routing;
