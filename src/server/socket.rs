//! Sockets that hold little for their client: in the kernel, and of what is no part of a request.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::connections::Handle;

/// What the kernel may hold of what we sent or received, each: it reserves twice as much, and by itself up to megabytes. An
/// ordinary review fits, and one of 18 MB passes at the rate of 32 KiB a round trip.
const KERNEL_BUFFER: u32 = 32 * 1024;

/// From the first byte that a client does not acknowledge, or has no room for, to the end of the connection: as long as an
/// answer may take, see `deadline`.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Connections that wait to be accepted, as far as `net.core.somaxconn` allows.
const BACKLOG: u32 = 4096;

/// Bytes without a byte of a request or the end of a handshake among them. The largest record of TLS is 18 KiB, the hello of an
/// API server 2 KiB, and its certificates, where it has any, take a few more.
const MOST_UNPRODUCTIVE: usize = 20 * 1024;

/// Listens at an address, for connections that inherit our limits.
///
/// # Errors
/// The address is taken, or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Before it listens: the window of a connection is agreed upon in its first packets.
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    SockRef::from(&socket).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection whose client has to come to the point; all that goes through it is as it was.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    handle: Handle,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, handle: Handle) -> Self {
        // Answers are written whole, so there is nothing to wait for; where it fails we are only slower.
        let _ = stream.set_nodelay(true);
        Socket { stream, handle }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let unproductive = self.handle.received(buffer.filled().len() - before);
        if unproductive > MOST_UNPRODUCTIVE {
            return Poll::Ready(Err(io::Error::other("too many bytes that belong to no request")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.handle.is_given_up() {
            // Where it fails, the kernel's own deadline ends it.
            let _ = self.stream.set_zero_linger();
        }
    }
}
