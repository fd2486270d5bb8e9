//! A stream that gives up where its peer is silent for too long, by what is being waited for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::Deadlines;
use crate::server::connections::{Handle, Phase};

/// From the first byte that a peer does not take to the last of an answer. A webhook's `timeoutSeconds` is 30 at most: who asked
/// has given up by then.
const LONGEST_WRITE: Duration = Duration::from_secs(30);

/// A stream with deadlines; all that goes through it is as it was.
#[derive(Debug)]
pub(super) struct Deadlined<S> {
    stream: S,
    handle: Handle,
    /// The phase that `deadline` belongs to.
    phase: Phase,
    deadline: Option<Instant>,
    /// By when what is being written has to be taken, where the peer did not take all of it at once.
    unread: Option<Instant>,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
}

impl<S> Deadlined<S> {
    pub(super) fn new(stream: S, handle: Handle, deadlines: Deadlines) -> Self {
        let deadline = Instant::now() + deadlines.silent;
        let timer = Box::pin(sleep_until(deadline));
        Deadlined { stream, handle, phase: Phase::Silent, deadline: Some(deadline), unread: None, deadlines, timer }
    }

    /// Bytes of a request came.
    fn heard(&mut self) {
        self.handle.progressed();
        // A client that does not take its answer does not become another one by a byte of its next request.
        let answers = self.unread.is_some();
        if !answers && matches!(self.handle.phase(), Some(Phase::Silent | Phase::Answer | Phase::Idle)) {
            self.handle.enter(Phase::Head);
        }
        self.look();
    }

    /// Takes note of a phase that others have changed. The last one stands for a connection that is evicted: it is closed
    /// anyway.
    fn look(&mut self) {
        let Some(phase) = self.handle.phase().filter(|phase| *phase != self.phase) else { return };
        self.phase = phase;
        let wait = match phase {
            Phase::Body | Phase::Review => None,
            Phase::Answer | Phase::Idle => Some(self.deadlines.idle),
            Phase::Silent | Phase::Head => Some(self.deadlines.silent),
        };
        self.deadline = wait.map(|wait| Instant::now() + wait);
    }

    /// What became of a read or write, where a deadline may have passed.
    fn bounded<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        self.arm(context).map(|()| {
            if self.unread.is_some() {
                self.handle.give_up();
            }
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    /// Sets the timer to the next deadline, and has it wake the connection then. Ready where it has passed.
    fn arm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.look();
        let Some(deadline) = self.deadline.into_iter().chain(self.unread).min() else { return Poll::Pending };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(context)
    }

    /// What became of a write. Only a flush ends the wait that one begins, so that a peer that takes little and little is no
    /// better than one that takes nothing.
    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.unread.is_none() {
            self.unread = Some(Instant::now() + LONGEST_WRITE);
            self.handle.unread();
        }
        self.bounded(polled, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard();
        }
        self.bounded(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadlined<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() {
            if self.unread.take().is_some() {
                self.handle.has_read();
            }
            if self.handle.phase() == Some(Phase::Answer) {
                self.handle.enter(Phase::Idle);
            }
            // hyper need not read again before the next request: a read that is pending since before the answer stays so.
            let _ = self.arm(context);
        }
        self.wrote(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(polled, context)
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

    use super::{Deadlined, LONGEST_WRITE};
    use crate::server::Deadlines;
    use crate::server::connections::tests::single;
    use crate::server::connections::{Phase, Slot};

    const LONG: Duration = Duration::from_secs(3600);

    /// A peer, and the connection to it at a moment when a request has its answer.
    async fn answered() -> (DuplexStream, Deadlined<DuplexStream>, Slot) {
        let ((peer, stream), slot) = (duplex(16), single().await);
        slot.handle.enter(Phase::Answer);
        let deadlines = Deadlines { silent: LONG, idle: LONG, finish: LONG };
        (peer, Deadlined::new(stream, slot.handle.clone(), deadlines), slot)
    }

    async fn write(stream: &mut Deadlined<DuplexStream>) -> io::Result<()> {
        stream.write_all(&[0; 4096]).await?;
        stream.flush().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_take_its_answer_or_takes_little_and_little_is_given_up() {
        for takes in [0, 5, 1000] {
            let (mut peer, mut stream, slot) = answered().await;
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
            assert!(waited.abs_diff(LONGEST_WRITE) < Duration::from_secs(1), "{takes}: {waited:?}");
            assert!(slot.handle.is_given_up(), "and what the kernel holds with it");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_answer_that_is_taken_there_is_the_time_of_an_idle_connection() {
        let (mut peer, mut stream, slot) = answered().await;
        let mut taken = [0; 4096];
        let (written, taken) = tokio::join!(write(&mut stream), peer.read_exact(&mut taken));
        assert!(written.is_ok() && taken.is_ok());
        assert_eq!(slot.handle.phase(), Some(Phase::Idle));
        let begun = Instant::now();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LONG);
    }
}
