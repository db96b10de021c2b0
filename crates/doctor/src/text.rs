//! The report as people read it.

use std::fmt;

use crate::finding::Severity;
use crate::report::{CandidateReport, ConnectionsReport, LagReport, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(deadline) = self.deadline_ms {
            let of = |region: &Option<String>| region.clone().unwrap_or_else(|| "not set".to_owned());
            let (region, primary) = (of(&self.region), of(&self.primary_region));
            writeln!(f, "region {region}, primary region {primary}, deadline {deadline} ms")?;
        }
        for candidate in &self.candidates {
            write!(f, "\n{candidate}")?;
        }
        for finding in &self.findings {
            let at = finding.candidate.map_or_else(String::new, |candidate| format!(" ({candidate})"));
            writeln!(f, "\n{:<8} {}{at}: {}", finding.severity, finding.code.name(), finding.wrong)?;
            writeln!(f, "{:<8} {}", "", finding.instead)?;
        }
        let counted = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
            let count = self.findings.iter().filter(|finding| finding.severity == severity).count();
            format!("{count} {severity}{}", if count == 1 { "" } else { "s" })
        });
        writeln!(f, "\n{}", counted.join(", "))
    }
}

impl fmt::Display for CandidateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.host.contains(',') { self.host.clone() } else { format!("{}:{}", self.host, self.port) };
        writeln!(f, "{:<13} {at}, expected to be a {}", self.candidate, self.expected)?;
        let mut line = |name: &str, text: Option<String>| match text {
            Some(text) if !text.is_empty() => writeln!(f, "  {name:<11} {text}"),
            Some(_) | None => Ok(()),
        };
        line("addresses", Some(self.addresses.join(", ")))?;
        let reached = match (self.open_ms, self.round_trip_ms) {
            (Some(open), Some(trip)) => format!("yes: open in {open:.1} ms, round trip {trip:.1} ms"),
            (Some(open), None) => format!("yes: open in {open:.1} ms"),
            (None, _) => "no".to_owned(),
        };
        line("reachable", Some(reached))?;
        line("role", self.role.map(|role| format!("{role}{}", of_version(self.version.as_ref()))))?;
        let timeline = self.timeline.map_or_else(String::new, |timeline| format!(", timeline {timeline}"));
        line("system", self.system_identifier.as_ref().map(|system| format!("{system}{timeline}")))?;
        line("log", self.lsn.clone())?;
        line("lag", self.lag.as_ref().map(ToString::to_string))?;
        line("bookmarks", self.bookmarks.map(|word| meaning(word).to_owned()))?;
        line("connections", self.connections.as_ref().map(ToString::to_string))?;
        line("pooler", self.pooler.map(|word| meaning(word).to_owned()))?;
        line("read-only", self.options.map(|word| meaning(word).to_owned()))
    }
}

fn of_version(version: Option<&String>) -> String {
    version.map_or_else(String::new, |version| format!(", PostgreSQL {version}"))
}

/// A sentence for a word of the report.
fn meaning(word: &str) -> &str {
    match word {
        "fresh" => "it has what the primary had: sessions read here",
        "behind" => "it has not yet what the primary has: sessions would read from the primary",
        "foreign" => "the primary's mean nothing here: sessions would read from the primary",
        "not-compared" => "it says where its log is, and no primary does to compare with",
        "unavailable" => "none: it does not say where its log is",
        "none-seen" => "none seen",
        "keeps-connections" => "one that keeps a server connection for each client, as in session mode",
        "shares-connections" => "one in transaction mode that knows prepared statements",
        "transaction-mode" => "one in transaction mode",
        "taken" => "yes, reads cannot write",
        "refused" => "no, the pooler refuses `options`",
        "ignored" => "no, `options` are not in force",
        "not-sent" => "no, `options` are not sent to a host that may be a pooler",
        other => other,
    }
}

impl fmt::Display for LagReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{bytes} bytes"));
        write!(
            f,
            "{} behind the primary, {} to replay",
            bytes(self.bytes_behind_primary),
            bytes(self.bytes_to_replay)
        )?;
        if let Some(seconds) = self.seconds_since_replay {
            write!(f, ", last commit {seconds:.1} s old")?;
        }
        let streaming = if self.streaming { "streaming" } else { "not streaming" };
        write!(f, "; {streaming}, replay {}", self.replay)
    }
}

impl fmt::Display for ConnectionsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in use, {} reserved", self.in_use, self.max, self.reserved)?;
        if let Some(limit) = self.limit {
            write!(f, ", at most {limit} for this user and database")?;
        }
        write!(f, "; Spin may want {}", self.spin_may_open)
    }
}
