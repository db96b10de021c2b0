//! The variables provider `vault`: HashiCorp Vault's key-value engine, version 2 (Spin `crates/variables-vault`).
//!
//! Without TLS. As in Spin there is no time limit: whoever asks for a variable sets one.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Where it is, and where in it the variables are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vault {
    url: String,
    token: String,
    mount: String,
    prefix: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    data: Secret,
}

#[derive(Deserialize)]
struct Secret {
    value: String,
}

impl Vault {
    /// The value of a variable, if Vault has one.
    ///
    /// # Errors
    /// When Vault cannot be asked, or answers with an error other than 404.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<String>> {
        let prefix = self.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let uri = format!("{}/v1/{}/data/{prefix}{name}", self.url.trim_end_matches('/'), self.mount);
        self.read(uri.parse()?).await.context("Failed to check Vault for config")
    }

    async fn read(&self, uri: Uri) -> Result<Option<String>> {
        ensure!(uri.scheme_str() == Some("http"), "this host speaks to Vault over http:// only");
        let authority = uri.authority().context("the URL of Vault has no host")?;
        let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, authority.as_str())
            .header("x-vault-token", &self.token)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(status.is_success(), "Vault answered {status}: {}", String::from_utf8_lossy(&body));
        let reply: Reply = serde_json::from_slice(&body)?;
        Ok(Some(reply.data.data.value))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_variable_is_asked_for_as_spin_asks_vault() {
        for (status, body, expected) in [
            ("200 OK", r#"{"data":{"data":{"value":"fra"},"metadata":{"version":1}}}"#, Ok(Some("fra".to_owned()))),
            ("404 Not Found", r#"{"errors":[]}"#, Ok(None)),
            ("403 Forbidden", r#"{"errors":["permission denied"]}"#, Err(())),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let config = format!(
                "url = \"http://{}\"\ntoken = \"root\"\nmount = \"secret\"\nprefix = \"app\"",
                listener.local_addr().unwrap()
            );
            let vault: Vault = toml::from_str(&config).unwrap();
            let answer = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let response = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(response.as_bytes()).await.unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            };
            let (got, request) = tokio::join!(vault.get("region"), answer);
            assert_eq!(got.map_err(|_| ()), expected, "{status}");
            assert!(request.starts_with("GET /v1/secret/data/app/region HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("x-vault-token: root\r\n"), "{request}");
        }
    }
}
