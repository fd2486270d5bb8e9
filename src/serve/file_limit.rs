//! How many files and connections the system lets us have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises our own limit to what we want, as far as the system's administrator lets us; how many there may be.
///
/// Where containers and shells set a limit at all, it is 1,024 more often than not, with a hard one far above.
pub fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let enough = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    // None: there is no limit.
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
    fn what_is_asked_for_is_had_and_nothing_is_lowered() {
        let had = raise(0);
        assert!(raise(had.saturating_add(1)) >= had);
        assert!(raise(1) >= had);
    }
}
