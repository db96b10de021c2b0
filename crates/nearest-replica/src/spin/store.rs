//! Spin's key-value store: the default one, where the component may use it.

use spin_sdk::key_value::Store;

/// The text behind a key; nothing where there is none or the store cannot be used.
pub(crate) async fn get(key: &str) -> Option<String> {
    let value = async { Store::open_default().await?.get(key).await }.await.ok()??;
    String::from_utf8(value).ok()
}

/// Writes a text, where the store can be used. Nobody depends on it.
pub(crate) async fn set(key: &str, text: String) {
    let _ = async { Store::open_default().await?.set(key, text).await }.await;
}
