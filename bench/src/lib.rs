//! Measures the component beside what people would use instead; `src/main.rs` runs all of it.
//!
//! Every comparison is made in interleaved rounds of one run, so that what else happens on the machine happens to all.

pub mod contender;
pub mod cost;
pub mod cpu;
pub mod figures;
pub mod load;
pub mod machine;
pub mod page;
pub mod plots;
pub mod price;
pub mod protocol;
pub mod regions;
pub mod report;
pub mod segments;
pub mod stalls;
pub mod throughput;
pub mod verdicts;
