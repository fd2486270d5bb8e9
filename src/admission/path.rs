//! Paths inside a container, compared by their parts.

use std::borrow::Cow;
use std::fmt;

/// An absolute path without doubled or trailing slashes, and without parts `.` and `..`; the root is `/`.
///
/// A path that is not absolute is taken from the root, as the kubelet does with mount paths, and runtimes resolve the dots in
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a>(Cow<'a, str>);

impl<'a> Path<'a> {
    /// Reads a path as received; borrows where nothing has to be changed.
    pub fn new(text: &'a str) -> Self {
        let normal = text == "/" || (text.starts_with('/') && !parts(text).skip(1).any(is_dropped));
        if normal {
            return Path(Cow::Borrowed(text));
        }
        let mut path = String::with_capacity(text.len() + 1);
        for part in text.split('/') {
            match part {
                "" | "." => {}
                // From the root there is no way up.
                ".." => path.truncate(path.rfind('/').unwrap_or_default()),
                part => path.extend(["/", part]),
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        Path(Cow::Owned(path))
    }

    /// The same path, owning its text.
    pub fn into_owned(self) -> Path<'static> {
        Path(Cow::Owned(self.0.into_owned()))
    }

    /// This path with more parts below it.
    pub fn join(&self, below: &str) -> Path<'static> {
        let above = if self.is_root() { "" } else { &self.0 };
        Path(Cow::Owned([above, "/", below].concat()))
    }

    /// The path above, the root's being the root.
    pub fn parent(&self) -> Path<'_> {
        match self.0.rfind('/') {
            Some(0) | None => Path(Cow::Borrowed("/")),
            Some(end) => Path(Cow::Borrowed(&self.0[..end])),
        }
    }

    /// Whether `other` is this path or below it.
    pub fn covers(&self, other: &Path<'_>) -> bool {
        self == other || self.is_above(other)
    }

    /// Whether `other` is below this path.
    pub fn is_above(&self, other: &Path<'_>) -> bool {
        match other.0.strip_prefix(&*self.0) {
            Some(rest) => rest.starts_with('/') || (self.is_root() && !rest.is_empty()),
            None => false,
        }
    }

    /// Whether the last parts are those of `end`, which begins with a slash.
    pub fn ends_with(&self, end: &str) -> bool {
        self.0.ends_with(end)
    }

    /// The last part, empty for the root.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The first part, empty for the root.
    pub fn first(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a mount here would hide files that every image needs.
    ///
    /// The source is the contract's list: homes and roots that images fill, and system folders with all below them.
    pub fn hides_system_files(&self) -> bool {
        const EXACTLY: [&str; 8] = ["/", "/home", "/home/dynamo", "/opt", "/root", "/tmp", "/var", "/workspace"];
        const AND_BELOW: [&str; 9] = ["bin", "boot", "dev", "etc", "proc", "run", "sbin", "sys", "usr"];
        let first = self.first();
        EXACTLY.contains(&self.as_str())
            || AND_BELOW.contains(&first)
            || first.starts_with("lib")
            || Path(Cow::Borrowed("/var/run")).covers(self)
    }

    /// Whether an engine looks here by itself. What the engines put there has no key, and is not safe on a shared file system.
    pub fn is_an_engines_own(&self) -> bool {
        const ENDS: [&str; 6] =
            ["/.cache", "/.cache/flashinfer", "/.cache/sglang", "/.cache/tensorrt_llm", "/.cache/vllm", "/.triton"];
        ENDS.iter().any(|end| self.ends_with(end))
    }

    fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl<'a> From<Path<'a>> for Cow<'a, str> {
    fn from(path: Path<'a>) -> Cow<'a, str> {
        path.0
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text is short enough for a path of ours. Linux takes 4,095 bytes with what stands before it on the node, and 255
/// in each part (`limits.h`); and the text is written several times into each container.
pub(super) fn is_short(text: &str) -> bool {
    text.len() <= 1024 && parts(text).all(|part| part.len() <= 255)
}

/// Whether the text is an absolute path without a part `.` or `..`.
pub(super) fn is_absolute(text: &str) -> bool {
    text.starts_with('/') && !parts(text).any(|part| matches!(part, b"." | b".."))
}

/// The parts of a text between its slashes. They are short, and splitting bytes is the faster for it.
fn parts(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().split(|byte| *byte == b'/')
}

/// Whether no path of ours has such a part: an empty one, `.` or `..`.
fn is_dropped(part: &[u8]) -> bool {
    matches!(part, b"" | b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::{Path, is_absolute, is_short};

    #[test]
    fn slashes_and_dots_that_mean_nothing_are_dropped() {
        for (text, path) in [("/a//b/", "/a/b"), ("/", "/"), ("", "/"), ("//", "/"), ("a/b", "/a/b"), ("/a", "/a")] {
            assert_eq!(Path::new(text).as_str(), path, "{text:?}");
        }
        for (text, path) in
            [("/a/.", "/a"), ("/a/b/..", "/a"), ("/../a", "/a"), ("/..", "/"), ("a/../..", "/"), ("/.a/..b", "/.a/..b")]
        {
            assert_eq!(Path::new(text).as_str(), path, "{text:?}");
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_is_below() {
        let covers = |above: &str, below: &str| Path::new(above).covers(&Path::new(below));
        assert!(covers("/a", "/a") && covers("/a", "/a/b") && covers("/", "/a") && covers("/", "/"));
        assert!(!covers("/a", "/ab") && !covers("/a/b", "/a") && !covers("/a", "/"));
        assert!(!Path::new("/a").is_above(&Path::new("/a")) && !Path::new("/").is_above(&Path::new("/")));
    }

    #[test]
    fn a_path_has_a_parent_and_ends() {
        assert_eq!(Path::new("/a/hub").parent().as_str(), "/a");
        assert_eq!(Path::new("/hub").parent().as_str(), "/");
        assert_eq!(Path::new("/").join("hub").as_str(), "/hub");
        assert_eq!((Path::new("/a/b").first(), Path::new("/a/b").last(), Path::new("/").last()), ("a", "b", ""));
        assert!(Path::new("/x/.cache/").ends_with("/.cache") && !Path::new("/x.cache").ends_with("/.cache"));
    }

    #[test]
    fn a_path_that_linux_would_not_take_is_too_long() {
        let parts = |length: usize, times: usize| format!("/{}", "a".repeat(length)).repeat(times);
        assert!(is_short(&parts(255, 4)) && is_short(&parts(1, 512)));
        assert!(!is_short(&parts(256, 1)) && !is_short(&parts(1, 513)));
    }

    #[test]
    fn a_part_of_dots_is_no_absolute_path() {
        assert!(is_absolute("/a/..b/.c") && !is_absolute("/a/../b") && !is_absolute("/.") && !is_absolute("a"));
    }
}
