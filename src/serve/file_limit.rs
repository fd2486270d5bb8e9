//! The limit on open files and connections of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to `wanted`, as far as the hard limit allows. Returns the limit that applies.
///
/// Containers and shells usually set a soft limit of 1,024, with a hard limit far above.
pub fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    // `None` means no limit.
    let Some(current) = current.filter(|current| *current < enough) else { return current.unwrap_or(u64::MAX) };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(enough), maximum }) {
        Ok(()) => enough,
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::raise;

    #[test]
    fn the_limit_is_raised_on_request_and_never_lowered() {
        let had = raise(0);
        assert!(raise(had.saturating_add(1)) >= had);
        assert!(raise(1) >= had);
    }
}
