//! The doctor as a program, on real servers: for each thing that it finds, one that is so.

mod cluster;
mod fixtures;
mod guide;
mod limits;
mod place;
mod pooler;
mod reach;
