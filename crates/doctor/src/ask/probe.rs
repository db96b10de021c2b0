//! What answers where the client could make nothing of the answer.

use std::time::Duration;

use nearest_replica::DatabaseUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Asks for TLS, to which every PostgreSQL and every pooler answers with one letter.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// So much of an answer is shown.
const SHOWN: usize = 40;

/// The first line of the first address behind which something else than PostgreSQL answers, within `limit`; empty where
/// that is no text.
pub(crate) async fn other_protocol(addresses: &[String], url: &DatabaseUrl, limit: Duration) -> Option<String> {
    let ask_each = async {
        for address in addresses {
            // One that was given as a number in the URL has no port of its own.
            let address = if address.parse::<std::net::IpAddr>().is_ok() {
                with_port(address, url.port())
            } else {
                address.clone()
            };
            let answer = answer(&address, limit / 4).await.unwrap_or_default();
            if !answer.is_empty() && !is_postgres(&answer) {
                return Some(first_line(&answer));
            }
        }
        None
    };
    timeout(limit, ask_each).await.ok().flatten()
}

fn with_port(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// What comes back first. A server of lines of text answers only once a line has ended.
async fn answer(address: &str, limit: Duration) -> std::io::Result<Vec<u8>> {
    let mut stream = timeout(limit, TcpStream::connect(address)).await??;
    for words in [&SSL_REQUEST[..], b"\r\n\r\n"] {
        stream.write_all(words).await?;
        let mut bytes = vec![0; 256];
        if let Ok(length) = timeout(limit, stream.read(&mut bytes)).await {
            bytes.truncate(length?);
            return Ok(bytes);
        }
    }
    Ok(Vec::new())
}

/// One letter, or an error. Other protocols that begin with these letters say more at once.
fn is_postgres(answer: &[u8]) -> bool {
    matches!(answer, b"S" | b"N") || (answer.starts_with(b"E") && !answer.starts_with(b"ERR"))
}

fn first_line(answer: &[u8]) -> String {
    let line: Vec<_> = answer.iter().copied().take_while(|byte| !b"\r\n".contains(byte)).take(SHOWN).collect();
    let is_text = line.iter().all(|byte| (b' '..=b'~').contains(byte));
    String::from_utf8(line).ok().filter(|_| is_text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_told_from_postgres_by_their_first_bytes() {
        for answer in [&b"S"[..], b"N", b"E\0\0\0\x40SFATAL\0", b"Ecould not fork"] {
            assert!(is_postgres(answer), "{answer:?}");
        }
        for (answer, line) in [
            (&b"HTTP/1.1 400 Bad Request\r\nServer: x"[..], "HTTP/1.1 400 Bad Request"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
            (b"-ERR unknown command\r\n", "-ERR unknown command"),
            (b"ERROR\r\n", "ERROR"),
            (b"N\0\0\0\n8.0.36\0", ""),
            (b"\x15\x03\x01\0\x02\x02\x16", ""),
        ] {
            assert!(!is_postgres(answer), "{answer:?}");
            assert_eq!(first_line(answer), line);
        }
    }
}
