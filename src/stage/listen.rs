//! The engine's listening socket, by which its end is noticed without any right on the API.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The inodes of the sockets that listen on a port of this network namespace. What cannot be read counts as none.
pub fn sockets(proc: &Path, port: u16) -> BTreeSet<u64> {
    let files = ["net/tcp", "net/tcp6"].iter().filter_map(|file| File::open(proc.join(file)).ok());
    let lines = files.flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
    lines.filter_map(|line| listening(&line, port)).collect()
}

/// The inode in a line, if it is that of a listening socket on the port.
fn listening(line: &str, port: u16) -> Option<u64> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let is_it = *fields.get(3)? == LISTEN && u16::from_str_radix(local_port, 16).ok()? == port;
    if is_it { fields.get(9)?.parse().ok() } else { None }
}

/// The ends of an engine that was never ready.
#[derive(Debug, Default)]
pub struct Deaths {
    sockets: BTreeSet<u64>,
    /// How often the engine has ended.
    pub count: u64,
}

/// What a look at the sockets showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The engine has ended, and nothing listens.
    Ended,
    /// It has ended, and another already listens: it may use the cache now.
    Replaced,
}

impl Deaths {
    /// Takes a look at the sockets into account.
    pub fn observe(&mut self, sockets: BTreeSet<u64>) -> Option<Change> {
        let before = std::mem::replace(&mut self.sockets, sockets);
        if before.is_empty() || !before.is_disjoint(&self.sockets) {
            return None;
        }
        self.count += 1;
        Some(if self.sockets.is_empty() { Change::Ended } else { Change::Replaced })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;
    use std::path::Path;

    use super::{Change, Deaths, listening, sockets};

    #[test]
    fn a_listening_socket_is_found_by_its_port() {
        let ours =
            "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000";
        assert_eq!(listening(ours, 8080), Some(4711));
        assert_eq!(listening(ours, 8081), None);
        assert_eq!(listening(&ours.replace(" 0A ", " 01 "), 8080), None, "a connection");
        assert_eq!(listening("  sl  local_address rem_address   st", 8080), None);
        assert_eq!(listening("", 8080), None);
    }

    #[test]
    fn a_socket_of_this_process_comes_and_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(sockets(Path::new("/proc"), port).len(), 1);
        drop(listener);
        assert!(sockets(Path::new("/proc"), port).is_empty());
    }

    #[test]
    fn an_engine_has_ended_when_none_of_its_sockets_is_left() {
        let mut deaths = Deaths::default();
        let mut look = |inodes: &[u64]| deaths.observe(inodes.iter().copied().collect::<BTreeSet<_>>());
        assert_eq!(look(&[]), None);
        assert_eq!(look(&[1]), None);
        assert_eq!(look(&[1, 2]), None, "one on IPv6");
        assert_eq!(look(&[2]), None);
        assert_eq!(look(&[]), Some(Change::Ended));
        assert_eq!(look(&[]), None);
        assert_eq!(look(&[3]), None);
        assert_eq!(look(&[4]), Some(Change::Replaced));
        assert_eq!(deaths.count, 2);
    }
}
