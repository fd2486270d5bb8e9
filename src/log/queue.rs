//! Lines that wait for the thread that writes them, bounded in bytes; what does not fit is dropped and counted.
//!
//! Why not `tracing-appender`: its queue is bounded in lines of any length, and the end of its writer, where the queue is full,
//! prints to standard output and waits for that (0.2.5), which is the same stopped reader in `serve 2>&1 | less`.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most bytes that wait, those included that are being written: some two thousand lines.
const MOST_BYTES: usize = 1024 * 1024;

/// Most bytes in one line; what is longer is cut, and ends in an ellipsis. Names in a line have bounds of their own, so this is for
/// words of others, such as an API server's error.
const LONGEST_LINE: usize = 16 * 1024;

/// Before a reader is tried again that has no room.
const READER_PAUSE: Duration = Duration::from_millis(10);

/// What stands at the end of a line that was cut.
const CUT: &str = "…\n";

/// The lines that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Vec<u8>>,
    /// Bytes of `lines` and of those that are being written.
    bytes: usize,
    dropped: u64,
    reported: u64,
    is_writing: bool,
}

impl Queue {
    /// Leaves a line to be written, and never waits for the reader.
    pub(super) fn push(&self, line: &[u8]) {
        let line = bounded(line);
        let mut state = self.state();
        if state.bytes + line.len() > MOST_BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push(line);
        drop(state);
        self.changed.notify_all();
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Writes for ever. Where lines were dropped, `report` is called with their number once there is room again.
    pub(super) fn write_to(&self, mut output: impl Write, report: impl Fn(u64)) {
        loop {
            let lines = self.next_lines();
            for line in &lines {
                // A reader that has gone away has what it wanted.
                let _ = write_whole(&mut output, line);
            }
            let written: usize = lines.iter().map(Vec::len).sum();
            let mut state = self.state();
            state.bytes -= written;
            state.is_writing = false;
            let unreported = state.dropped - state.reported;
            let has_room = state.bytes < MOST_BYTES / 2;
            if has_room {
                state.reported = state.dropped;
            }
            drop(state);
            if has_room && unreported > 0 {
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

    /// Waits until every line is written, or for so long.
    pub(super) fn flush(&self, longest: Duration) {
        let until = Instant::now() + longest;
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

/// Writes a line, however long its reader takes: standard error may be a pipe that another program has made non-blocking.
fn write_whole(output: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match output.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(READER_PAUSE),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

/// A line as it is kept: no longer than a line may be.
fn bounded(line: &[u8]) -> Vec<u8> {
    if line.len() <= LONGEST_LINE {
        return line.to_vec();
    }
    let begin = &line[..LONGEST_LINE - CUT.len()];
    // A character that is cut in two is left out.
    let whole = begin.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    [&begin[..whole], CUT.as_bytes()].concat()
}

/// One line, which the subscriber writes whole.
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

    use super::{LONGEST_LINE, MOST_BYTES, Queue, write_whole};

    /// Takes five bytes, then has no room once, and so on.
    #[derive(Default)]
    struct Reluctant {
        taken: Vec<u8>,
        has_room: bool,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.has_room = !self.has_room;
            if !self.has_room {
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
    fn a_reader_without_room_gets_the_rest_of_a_line_later() {
        let mut reader = Reluctant::default();
        write_whole(&mut reader, b"one line that is longer than that\n").unwrap();
        assert_eq!(reader.taken, b"one line that is longer than that\n");
    }

    #[test]
    fn no_more_waits_than_fits_and_the_rest_is_counted() {
        let queue = Queue::default();
        let line = vec![b'x'; 1000];
        for _ in 0..2000 {
            queue.push(&line);
        }
        let state = queue.state();
        assert_eq!(state.bytes, MOST_BYTES / 1000 * 1000);
        assert_eq!(state.lines.len() + usize::try_from(state.dropped).unwrap(), 2000);
        drop(state);
        // Nobody writes, and the end does not wait for long.
        queue.flush(Duration::from_millis(10));
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        let queue = Queue::default();
        queue.push("ü".repeat(LONGEST_LINE).as_bytes());
        let state = queue.state();
        let line = std::str::from_utf8(&state.lines[0]).unwrap();
        assert!(
            line.len() <= LONGEST_LINE && line.len() > LONGEST_LINE - 8 && line.ends_with("ü…\n"),
            "{}",
            line.len()
        );
    }
}
