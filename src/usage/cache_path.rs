//! Paths on a claim that `prune` may remove, and the names that it gives them while it does.

use std::ffi::{OsStr, OsString};

use crate::admission::plan;
use crate::stage::layout::VERSION;

/// What the name of a folder begins with that is being removed.
const REMOVED: &str = ".dynamo-cache-removed-";

/// The path of a compile cache: in the root of the claim, or with the archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CachePath {
    /// Whether it is with the archives.
    pub(super) is_staged: bool,
    /// Its name there.
    pub(super) name: OsString,
}

impl CachePath {
    /// The path of a compile cache, or of one that an interrupted removal has left; `None` for any other path, which is
    /// never removed.
    pub(super) fn parse(path: &str) -> Option<CachePath> {
        let (is_staged, name) = match path.split_once('/') {
            Some((VERSION, name)) => (true, name),
            Some(_) => return None,
            None => (false, path),
        };
        let is_name = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
        let is_ours = is_staged || is_unfinished(OsStr::new(name)) || plan::is_compile_folder(name);
        (is_name && is_ours).then(|| CachePath { is_staged, name: name.into() })
    }
}

/// Whether a folder has the name that it gets while it is removed.
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(REMOVED))
}

/// A name for a folder that is being removed; `number` is another for each.
pub(super) fn unfinished(number: u128) -> OsString {
    format!("{REMOVED}{number:x}").into()
}

#[cfg(test)]
mod tests {
    use super::CachePath;

    #[test]
    fn no_path_but_that_of_a_compile_cache_is_ever_removed() {
        for path in [
            "",
            ".",
            "..",
            "/",
            "hub",
            "hub/models--a--b",
            "models--a--b",
            "staged-v1",
            "staged-v1/",
            "staged-v1/..",
            "staged-v1/a/b",
            "staged-v1/../hub",
            "other/0123456789ab-any-ba9876543210",
            "/etc",
            "lost+found",
        ] {
            assert_eq!(CachePath::parse(path), None, "{path}");
        }
        for (path, is_staged) in [
            ("0123456789ab-any-ba9876543210-u1000", false),
            (".dynamo-cache-removed-1f", false),
            ("staged-v1/all", true),
            ("staged-v1/.dynamo-cache-removed-1f", true),
        ] {
            assert_eq!(CachePath::parse(path).map(|at| at.is_staged), Some(is_staged), "{path}");
        }
    }
}
