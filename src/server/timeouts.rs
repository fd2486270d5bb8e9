//! The timeouts of a connection: of its TLS handshake, and of a stream that times out when its peer is silent for too long in
//! a phase.
//!
//! Why not hyper's `header_read_timeout` or `tokio-io-timeout`: the first also runs between requests, and neither knows
//! phases or a total time for a response.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::server::connections::{Handle, Phase};

/// The time from the first byte that a peer does not read to the end of the response. The `timeoutSeconds` of a webhook
/// is 30 at most, so the caller has given up by then.
const MAX_WRITE: Duration = Duration::from_secs(30);

/// The timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the TLS handshake, for the first byte after it, and for the head of a request.
    pub handshake_and_head: Duration,
    /// Between a response and the next request.
    pub keep_alive: Duration,
    /// For all responses in flight, once the server stops.
    pub drain: Duration,
}

impl Timeouts {
    /// Accepts a TLS connection within its timeout.
    pub(super) async fn handshake<T>(&self, accept: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout(self.handshake_and_head, accept).await
    }
}

/// A stream with timeouts for what follows the handshake. It passes all data through unchanged.
#[derive(Debug)]
pub(super) struct TimeoutStream<S> {
    stream: S,
    handle: Handle,
    /// The phase that `deadline` belongs to.
    phase: Phase,
    deadline: Option<Instant>,
    /// The time by which the peer has to read the response, if it did not read all of it at once.
    write_deadline: Option<Instant>,
    timeouts: Timeouts,
    timer: Pin<Box<Sleep>>,
}

impl<S> TimeoutStream<S> {
    pub(super) fn new(stream: S, handle: Handle, timeouts: Timeouts) -> Self {
        let deadline = Instant::now() + timeouts.handshake_and_head;
        let timer = Box::pin(sleep_until(deadline));
        TimeoutStream {
            stream,
            handle,
            phase: Phase::Handshake,
            deadline: Some(deadline),
            write_deadline: None,
            timeouts,
            timer,
        }
    }

    /// Handles the arrival of bytes of a request.
    fn on_request_bytes(&mut self) {
        self.handle.reset_unproductive();
        // A client that does not read its response cannot leave that phase by sending a byte of its next request.
        let is_responding = self.write_deadline.is_some();
        if !is_responding && matches!(self.handle.phase(), Some(Phase::Handshake | Phase::Response | Phase::Idle)) {
            self.handle.enter(Phase::Head);
        }
        self.update_phase();
    }

    /// Adopts a phase that other code has set. An evicted connection keeps its last phase, because it is being closed.
    fn update_phase(&mut self) {
        let Some(phase) = self.handle.phase().filter(|phase| *phase != self.phase) else { return };
        self.phase = phase;
        let wait = match phase {
            Phase::Body | Phase::Review => None,
            Phase::Response | Phase::Idle => Some(self.timeouts.keep_alive),
            Phase::Handshake | Phase::Head => Some(self.timeouts.handshake_and_head),
        };
        self.deadline = wait.map(|wait| Instant::now() + wait);
    }

    /// Turns a pending read or write into an error once a deadline has passed.
    fn check_deadline<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        self.poll_timer(context).map(|()| {
            if self.write_deadline.is_some() {
                self.handle.reset_on_close();
            }
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    /// Sets the timer to the next deadline, and registers the task to be woken. Ready if the deadline has passed.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.update_phase();
        let Some(deadline) = self.deadline.into_iter().chain(self.write_deadline).min() else { return Poll::Pending };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(context)
    }

    /// Starts the write deadline if a write is pending. Only a flush clears it, so a peer that reads byte by byte gains
    /// nothing over one that does not read.
    fn on_write<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.write_deadline.is_none() {
            self.write_deadline = Some(Instant::now() + MAX_WRITE);
            self.handle.mark_unread();
        }
        self.check_deadline(polled, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.on_request_bytes();
        }
        self.check_deadline(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.on_write(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() {
            if self.write_deadline.take().is_some() {
                self.handle.mark_read();
            }
            if self.handle.phase() == Some(Phase::Response) {
                self.handle.enter(Phase::Idle);
            }
            // hyper may not read again before the next request: a read that was pending before the response stays
            // pending.
            let _ = self.poll_timer(context);
        }
        self.on_write(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.check_deadline(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.on_write(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    use super::{MAX_WRITE, TimeoutStream, Timeouts};
    use crate::server::connections::tests::single;
    use crate::server::connections::{Phase, Slot};

    const LONG: Duration = Duration::from_secs(3600);

    /// A peer, and a connection on which a response is due.
    async fn responding() -> (DuplexStream, TimeoutStream<DuplexStream>, Slot) {
        let ((peer, stream), slot) = (duplex(16), single().await);
        slot.handle.enter(Phase::Response);
        let timeouts = Timeouts { handshake_and_head: LONG, keep_alive: LONG, drain: LONG };
        (peer, TimeoutStream::new(stream, slot.handle.clone(), timeouts), slot)
    }

    async fn write(stream: &mut TimeoutStream<DuplexStream>) -> io::Result<()> {
        stream.write_all(&[0; 4096]).await?;
        stream.flush().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_its_response_slowly_or_not_at_all_times_out() {
        for takes in [0, 5, 1000] {
            let (mut peer, mut stream, slot) = responding().await;
            let begun = Instant::now();
            let read = async {
                for _ in 0..takes {
                    sleep(Duration::from_secs(1)).await;
                    peer.read_u8().await.unwrap();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                written = write(&mut stream) => assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut),
                () = read => {}
            }
            let waited = begun.elapsed();
            assert!(waited.abs_diff(MAX_WRITE) < Duration::from_secs(1), "{takes}: {waited:?}");
            assert!(slot.handle.resets_on_close(), "with the kernel's buffers");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_response_the_keep_alive_timeout_applies() {
        let (mut peer, mut stream, slot) = responding().await;
        let mut taken = [0; 4096];
        let (written, taken) = tokio::join!(write(&mut stream), peer.read_exact(&mut taken));
        assert!(written.is_ok() && taken.is_ok());
        assert_eq!(slot.handle.phase(), Some(Phase::Idle));
        let begun = Instant::now();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LONG);
    }
}
