//! A queue of log lines for the writer thread, bounded in bytes. Lines that do not fit are dropped and counted.
//!
//! Why not `tracing-appender`: its queue is bounded in lines of any length, and when its writer is dropped with a full
//! queue, it prints to standard output and blocks on that (0.2.5), which is the same stopped reader in `serve 2>&1 |
//! less`.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes in the queue, including those being written: about two thousand lines.
const MAX_BYTES: usize = 1024 * 1024;

/// The most bytes in one line. A longer line is cut and ends in an ellipsis. Names have limits of their own, so this is
/// for text of others, such as an API server's error.
const MAX_LINE: usize = 16 * 1024;

/// The pause before a non-blocking write is retried.
const WRITE_RETRY: Duration = Duration::from_millis(10);

/// The end of a line that was cut.
const CUT: &str = "…\n";

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Vec<u8>>,
    /// The bytes of `lines` and of those being written.
    bytes: usize,
    dropped: u64,
    reported: u64,
    is_writing: bool,
}

impl Queue {
    /// Queues a line without waiting for the reader.
    pub(super) fn push(&self, line: &[u8]) {
        let line = cut(line);
        let mut state = self.state();
        if state.bytes + line.len() > MAX_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push(line);
        drop(state);
        self.changed.notify_all();
    }

    /// The number of dropped lines.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Writes lines for ever. If lines were dropped, `report` is called with their number once there is space again.
    pub(super) fn write_to(&self, mut output: impl Write, report: impl Fn(u64)) {
        loop {
            let lines = self.next_lines();
            for line in &lines {
                // A closed output needs no more lines.
                let _ = write_whole(&mut output, line);
            }
            let written: usize = lines.iter().map(Vec::len).sum();
            let mut state = self.state();
            state.bytes -= written;
            state.is_writing = false;
            let unreported = state.dropped - state.reported;
            let has_space = state.bytes < MAX_BYTES / 2;
            if has_space {
                state.reported = state.dropped;
            }
            drop(state);
            if has_space && unreported > 0 {
                report(unreported);
            }
            self.changed.notify_all();
        }
    }

    fn next_lines(&self) -> Vec<Vec<u8>> {
        let waiting = self.changed.wait_while(self.state(), |state| state.lines.is_empty());
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        std::mem::take(&mut state.lines)
    }

    /// Waits until every line is written, or until the timeout.
    pub(super) fn flush(&self, wait_limit: Duration) {
        let until = Instant::now() + wait_limit;
        let mut state = self.state();
        while state.is_writing || !state.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line, however long its reader takes. Standard error may be a pipe that another program has made
/// non-blocking.
#[expect(clippy::disallowed_methods, reason = "this runs on the log's own thread, which has nothing else to do")]
fn write_whole(output: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match output.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(WRITE_RETRY),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

/// Cuts a line to the most bytes of one.
fn cut(line: &[u8]) -> Vec<u8> {
    if line.len() <= MAX_LINE {
        return line.to_vec();
    }
    let begin = &line[..MAX_LINE - CUT.len()];
    // An incomplete character at the end is removed.
    let whole = begin.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    [&begin[..whole], CUT.as_bytes()].concat()
}

/// A writer for one line, which the subscriber writes in one call.
#[derive(Debug)]
pub(super) struct Line<'q>(pub(super) &'q Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::time::Duration;

    use super::{MAX_BYTES, MAX_LINE, Queue, write_whole};

    /// Accepts five bytes, then blocks once, and so on.
    #[derive(Default)]
    struct Reluctant {
        taken: Vec<u8>,
        has_space: bool,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.has_space = !self.has_space;
            if !self.has_space {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(5);
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_reader_gets_the_rest_of_a_line_later() {
        let mut reader = Reluctant::default();
        write_whole(&mut reader, b"one line that is longer than that\n").unwrap();
        assert_eq!(reader.taken, b"one line that is longer than that\n");
    }

    #[test]
    fn lines_beyond_the_limit_are_dropped_and_counted() {
        let queue = Queue::default();
        let line = vec![b'x'; 1000];
        for _ in 0..2000 {
            queue.push(&line);
        }
        let state = queue.state();
        assert_eq!(state.bytes, MAX_BYTES / 1000 * 1000);
        assert_eq!(state.lines.len() + usize::try_from(state.dropped).unwrap(), 2000);
        drop(state);
        // No thread writes, and the flush times out.
        queue.flush(Duration::from_millis(10));
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        let queue = Queue::default();
        queue.push("ü".repeat(MAX_LINE).as_bytes());
        let state = queue.state();
        let line = std::str::from_utf8(&state.lines[0]).unwrap();
        assert!(line.len() <= MAX_LINE && line.len() > MAX_LINE - 8 && line.ends_with("ü…\n"), "{}", line.len());
    }
}
