//! Processors that do not sleep.
//!
//! A processor with nothing to do sleeps, and an answer that is sent to it wakes it up. On a virtual machine that takes some
//! 10 µs of the sender. An echo keeps its client busy and never pays them; a server that takes longer does, so that
//! the two would differ by more than what they do.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};

/// Where the kernel takes the longest time, in microseconds, that a processor may need to wake up:
/// <https://docs.kernel.org/power/pm_qos_interface.html>.
const LONGEST: &str = "/dev/cpu_dma_latency";

/// While this lives, no processor sleeps.
pub(crate) struct Awake(#[expect(dead_code, reason = "the kernel forgets the wish with the file")] File);

impl Awake {
    /// Asks the kernel for it, which takes root.
    pub(crate) fn keep() -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(LONGEST)?;
        file.write_all(&0_i32.to_ne_bytes())?;
        Ok(Awake(file))
    }
}
