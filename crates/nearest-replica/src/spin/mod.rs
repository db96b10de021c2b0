//! Spin's own interfaces, with the failures of this library. The only files that touch them.

pub(crate) mod method;
pub(crate) mod postgres;
pub(crate) mod store;
pub(crate) mod variables;
