//! The lab as its users have it: the program itself, its page over real sockets, and a real browser.

mod arguments;
mod faults;
mod find_spin;
mod page;
mod program;
mod stopping;
mod trial;
