//! Makes findings of what is known. Pure.

mod cluster;
mod place;
mod reach;
mod use_of;

pub(crate) use cluster::cluster;
pub(crate) use place::{Order, allowed, order, place, variable};
pub(crate) use reach::reach;
pub(crate) use use_of::use_of;
