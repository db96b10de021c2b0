//! Log lines: `key=value` pairs on stderr, one line for each request that did not go as it should.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use crate::rules::config::Config;

/// Writes one line. No value may hold a password or a whole URL.
pub fn line(event: &str, config: &Config, fields: &[(&str, &dyn Display)]) {
    let mut line = format!("event={event}");
    if let Some(region) = config.placement.region() {
        line += &format!(" region={region}");
    }
    for (key, value) in fields {
        line += &format!(" {key}={}", quoted(&value.to_string()));
    }
    write(line);
}

/// One write for the whole line, so that the lines of several instances do not mix.
pub(crate) fn write(mut line: String) {
    line.push('\n');
    // Nobody is left to be told when the log itself is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

pub(crate) fn quoted(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'=') {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

/// Milliseconds with three decimals, without the code that floating-point numbers need to be printed.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_millis(), duration.subsec_micros() % 1000)
}
