//! In how many TCP segments the answers on a connection arrived.

use tokio::net::TcpStream;

/// Segments with data that the kernel has received on a connection; `None` where it does not tell (Linux does).
#[cfg(target_os = "linux")]
pub(super) fn received(stream: &TcpStream) -> Option<u64> {
    use std::mem::{MaybeUninit, size_of};
    use std::os::fd::AsRawFd;

    use linux_raw_sys::net::tcp_info;

    let mut info = MaybeUninit::<tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<tcp_info>()).ok()?;
    // SAFETY: the kernel writes `length` bytes at most, into a structure of plain numbers that was zeroed.
    let (outcome, info) = unsafe {
        let at = info.as_mut_ptr().cast();
        let outcome = libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, at, &raw mut length);
        (outcome, info.assume_init())
    };
    (outcome == 0).then(|| u64::from(info.tcpi_data_segs_in))
}

/// As above.
#[cfg(not(target_os = "linux"))]
pub(super) fn received(_: &TcpStream) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn each_write_without_nagles_algorithm_is_a_segment() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.set_nodelay(true).unwrap();
        assert_eq!(received(&client), Some(0));
        for written in 1..4 {
            server.write_all(b"part").await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
            assert_eq!(received(&client), Some(written));
        }
    }
}
