//! Sockets with small kernel buffers and a limit on bytes that belong to no request.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::connections::Handle;

/// The size of each kernel buffer of a connection. The kernel reserves twice as much, and by default up to megabytes.
/// An ordinary review fits, and one of 18 MB passes at 32 KiB per round trip.
const KERNEL_BUFFER: u32 = 32 * 1024;

/// The time from the first byte that a client does not acknowledge or has no space for to the end of the connection: as
/// long as a response may take, see `timeouts`.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The backlog of connections to accept, as far as `net.core.somaxconn` allows.
const BACKLOG: u32 = 4096;

/// The most bytes without a byte of a request or the end of a handshake. The largest TLS record is 18 KiB, the hello of
/// an API server 2 KiB, and a client certificate takes a few more.
const MAX_UNPRODUCTIVE: usize = 20 * 1024;

/// The bytes that are read at once. rustls asks for 4 KiB at a time, and a usual review has 9. What it does not take stays with
/// the connection, until the answer at the latest if a client sends its next request early.
const READ_SIZE: usize = 12 * 1024;

thread_local! {
    /// What was read last. Shared by the connections of a thread, since an idle one needs no buffer.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// Listens on an address. Connections inherit the limits of the listener.
///
/// # Errors
/// The address is in use, or not on this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Buffers are set before the socket listens: the window of a connection is negotiated in its first packets.
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    SockRef::from(&socket).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection with a limit on unproductive bytes. It passes all data through unchanged.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    handle: Handle,
    /// What was read and not asked for yet.
    rest: Bytes,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, handle: Handle) -> Self {
        // Responses are written at once, so there is nothing to wait for. A failure only makes us slower.
        let _ = stream.set_nodelay(true);
        Socket { stream, handle, rest: Bytes::new() }
    }

    /// Reads what was read before and not asked for, else from the kernel.
    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            buffer.put_slice(&self.rest.split_to(self.rest.len().min(buffer.remaining())));
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() == 0 || buffer.remaining() >= READ_SIZE {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        READ.with_borrow_mut(|all| {
            let mut read = ReadBuf::new(all);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let (now, later) = read.filled().split_at(buffer.remaining().min(read.filled().len()));
            buffer.put_slice(now);
            self.rest = Bytes::copy_from_slice(later);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.read(context, buffer))?;
        let unproductive = self.handle.received(buffer.filled().len() - before);
        if unproductive > MAX_UNPRODUCTIVE {
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
        if self.handle.resets_on_close() {
            // If this fails, the kernel's own timeout ends the connection.
            let _ = self.stream.set_zero_linger();
        }
    }
}
