//! The flags of a command line that decide something, in whole elements and in scripts alike.

use std::net::IpAddr;

use super::Form;
use super::words::Word;

/// What the flags say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags<'a> {
    /// Whether one already chooses how weights are loaded.
    pub load_format: bool,
    /// Where the engine is to keep the models, the last time that it is said.
    pub download_dir: Option<&'a str>,
    nodes: Nodes,
}

/// What the flags say of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
struct Nodes {
    /// `--nnodes 1`.
    one: bool,
    /// `--nnodes` with anything else.
    several: bool,
    /// A rank among nodes, or a worker without a server: on one node, too, if that stands beside it.
    ranked: bool,
    /// Ranks of data parallelism on other nodes, or Ray, which spreads over its cluster.
    elsewhere: bool,
}

impl<'a> Flags<'a> {
    /// Whether a flag says that the engine spans nodes.
    pub fn spans_nodes(&self) -> bool {
        let Nodes { one, several, ranked, elsewhere } = self.nodes;
        several || elsewhere || (ranked && !one)
    }

    pub(super) fn read(&mut self, word: &Word<'a>, next: Option<&Word<'a>>) {
        let Some(flag) = word.text.strip_prefix("--") else { return self.read_short(word.text, next) };
        let (flag, value) = match flag.split_once('=') {
            // In a script a value in quotes is a word of its own.
            Some((flag, "")) if word.whole == Form::No => (flag, next.map(|next| next.text)),
            Some((flag, value)) => (flag, Some(value)),
            None => (flag, next.map(|next| next.text)),
        };
        let is = |name: &str| is_flag(flag, name);
        if is("load-format") || is("remote-instance-weight-loader-backend") {
            self.load_format = true;
        } else if is("download-dir") {
            self.download_dir = value.or(self.download_dir);
        } else if is("nnodes") {
            *(if value == Some("1") { &mut self.nodes.one } else { &mut self.nodes.several }) = true;
        } else if is("node-rank") || is("headless") {
            self.nodes.ranked = true;
        } else if is("data-parallel-start-rank") || is("data-parallel-hybrid-lb") {
            self.nodes.elsewhere = true;
        } else if is("data-parallel-address") {
            self.nodes.elsewhere |= !value.is_some_and(is_loopback);
        } else if is("distributed-executor-backend") {
            self.nodes.elsewhere |= value == Some("ray");
        }
    }

    /// vLLM's short names of the flags of data parallelism; those of others, such as `-n`, mean something else to many programs.
    fn read_short(&mut self, flag: &str, next: Option<&Word<'a>>) {
        self.nodes.elsewhere |= match flag {
            "-dpa" => !next.is_some_and(|address| is_loopback(address.text)),
            "-dph" | "-dpr" => true,
            _ => false,
        };
    }

    /// `ray start` makes the container a node of a Ray cluster.
    pub(super) fn show_ray(&mut self) {
        self.nodes.elsewhere = true;
    }
}

/// Whether a flag, without its dashes, has this name; vLLM and argparse take `_` for `-`.
pub(in super::super) fn is_flag(flag: &str, name: &str) -> bool {
    let same = |(one, other): (u8, u8)| one == other || (one == b'_' && other == b'-');
    flag.len() == name.len() && flag.bytes().zip(name.bytes()).all(same)
}

fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::super::pod::{Container, Text};
    use super::super::CommandLine;

    fn spans_nodes(elements: &[&str]) -> bool {
        let args = elements.iter().map(|element| Text(Cow::Borrowed(*element))).collect();
        CommandLine::parse(&Container { args: Some(args), ..Container::default() }).flags.spans_nodes()
    }

    #[test]
    fn marks_of_several_nodes_count_in_elements_and_in_scripts() {
        for marks in [
            "x --nnodes 2",
            "x --nnodes=$N",
            "x --node-rank 0",
            "x --node_rank=0",
            "x --headless",
            "x --data-parallel-address 10.0.0.1",
            "x --data_parallel_address=head",
            "x --data-parallel-start-rank 8",
            "x --data-parallel-hybrid-lb",
            "x -dpa 10.0.0.1",
            "x -dpr 8",
            "x -dph",
            "x --distributed-executor-backend ray",
            "ray start --head",
        ] {
            assert!(spans_nodes(&marks.split(' ').collect::<Vec<_>>()), "{marks}");
            assert!(spans_nodes(&["sh", "-c", marks]), "{marks}");
        }
        for script in [
            "ARGS=\"--nnodes 2\" python3 $ARGS",
            "A=--headless; x $A",
            "x --nnodes=\"$N\"",
            "/opt/ray start --address=h",
        ] {
            assert!(spans_nodes(&["sh", "-c", script]), "{script}");
        }
    }

    #[test]
    fn one_node_is_no_mark() {
        for none in [
            "x --nnodes 1 --node-rank 0",
            "x --nnodes=1 --headless",
            "x --data-parallel-address 127.0.0.1",
            "x --data-parallel-address=::1",
            "x --data-parallel-address localhost",
            "x --data-parallel-size 8",
            "x -dpa 127.0.0.1 -dp 8",
            "x --distributed-executor-backend mp",
            "ray stop",
            "x ray start",
        ] {
            assert!(!spans_nodes(&none.split(' ').collect::<Vec<_>>()), "{none}");
            assert!(!spans_nodes(&["sh", "-c", none]), "{none}");
        }
        assert!(!spans_nodes(&["sh", "-c", "x --nnodes=\"1\" --node-rank=\"0\""]));
    }
}
