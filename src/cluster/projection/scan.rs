//! Finds the end of a JSON value that is kept or skipped as a whole.

/// How far a value has been scanned.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scan {
    /// An object or an array. Only the number of open containers is tracked, so any depth costs the same.
    Container { depth: usize, in_string: bool, escaped: bool },
    /// A number, a boolean or null.
    Scalar,
    /// A string.
    String { escaped: bool },
}

impl Scan {
    /// The state before the first byte of a string, an object or an array.
    pub(super) fn new(byte: u8) -> Self {
        if byte == b'"' {
            // `escaped` keeps the opening quote from ending the string.
            Scan::String { escaped: true }
        } else {
            Scan::Container { depth: 0, in_string: false, escaped: false }
        }
    }

    /// Returns how many of the bytes belong to the value, and whether it ends there.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Scan::Scalar => {
                let end = bytes.iter().position(|byte| b",]} \t\r\n".contains(byte));
                (end.unwrap_or(bytes.len()), end.is_some())
            }
            Scan::String { escaped } => {
                // Slice patterns are fast in a debug build too, and megabytes pass here.
                let mut rest = bytes;
                while let [byte, after @ ..] = rest {
                    rest = after;
                    match *byte {
                        _ if *escaped => *escaped = false,
                        b'\\' => *escaped = true,
                        b'"' => return (bytes.len() - rest.len(), true),
                        _ => {}
                    }
                }
                (bytes.len(), false)
            }
            Scan::Container { depth, in_string, escaped } => {
                let mut rest = bytes;
                while let [byte, after @ ..] = rest {
                    rest = after;
                    match *byte {
                        _ if *escaped => *escaped = false,
                        b'\\' if *in_string => *escaped = true,
                        b'"' => *in_string = !*in_string,
                        _ if *in_string => {}
                        b'{' | b'[' => *depth += 1,
                        b'}' | b']' => {
                            *depth -= 1;
                            if *depth == 0 {
                                return (bytes.len() - rest.len(), true);
                            }
                        }
                        _ => {}
                    }
                }
                (bytes.len(), false)
            }
        }
    }
}
