//! What a node has that compiled code depends on. Caches of nodes that differ in it are kept apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::stage::digest::hexadecimal;

/// The digits of a node in the layout.
const DIGITS: usize = 12;

/// The facts about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The machine architecture.
    architecture: String,
    /// The processor's features, all of them: Inductor compiles for the processor that it runs on.
    features: BTreeSet<String>,
    /// The GPU models; none where the driver's files are not visible.
    gpus: BTreeSet<String>,
    /// The driver's major version.
    driver: Option<String>,
}

impl Node {
    /// Reads the facts below `/proc`. What cannot be read counts as not there.
    pub fn read(proc: &Path) -> Self {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let driver = proc.join("driver/nvidia");
        let gpus = fs::read_dir(driver.join("gpus")).into_iter().flatten().flatten();
        let gpus: Vec<_> = gpus.map(|gpu| text(&gpu.path().join("information"))).collect();
        Node::new(std::env::consts::ARCH, &text(&proc.join("cpuinfo")), &gpus, &text(&driver.join("version")))
    }

    fn new(architecture: &str, processors: &str, gpus: &[String], driver: &str) -> Self {
        let value = |text: &str, names: &[&str]| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(name, _)| names.contains(&name.trim())).map(|(_, value)| value.trim().to_owned())
        };
        // On arm64 the line has another name.
        let features = value(processors, &["flags", "Features"]).unwrap_or_default();
        Node {
            architecture: architecture.to_owned(),
            features: features.split_whitespace().map(str::to_owned).collect(),
            gpus: gpus.iter().filter_map(|gpu| value(gpu, &["Model"])).collect(),
            driver: driver_major(driver),
        }
    }

    /// The node's part of the layout.
    pub fn digits(&self) -> String {
        let Node { architecture, features, gpus, driver } = self;
        let set = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let facts = [architecture, &set(features), &set(gpus), driver.as_deref().unwrap_or_default()].join("\n");
        hexadecimal(&Sha256::digest(facts.as_bytes())).chars().take(DIGITS).collect()
    }

    /// The facts for people. The features of a processor are a hundred words, so they are counted.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.architecture.clone(), format!("{} processor features", self.features.len())];
        words.extend(self.gpus.iter().cloned());
        words.extend(self.driver.iter().map(|major| format!("NVIDIA driver {major}")));
        words
    }
}

/// The major version in a line such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue …`.
fn driver_major(version: &str) -> Option<String> {
    let line = version.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    line.split_whitespace().find(is_version)?.split('.').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::Node;

    const PROCESSORS: &str =
        "processor\t: 0\nmodel name\t: A\nflags\t\t: fpu avx2 avx512f\nprocessor\t: 1\nflags\t\t: fpu\n";
    const DRIVER: &str =
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 2026\nGCC version: 13.3.0\n";

    fn gpu(model: &str) -> String {
        format!("Model: \t\t {model}\nIRQ:   \t\t 42\nGPU UUID: \t GPU-1\n")
    }

    fn node(gpus: &[String], driver: &str) -> Node {
        Node::new("x86_64", PROCESSORS, gpus, driver)
    }

    #[test]
    fn the_words_name_architecture_gpus_and_driver() {
        let eight = vec![gpu("NVIDIA H200"); 8];
        let words = ["x86_64", "3 processor features", "NVIDIA H200", "NVIDIA driver 580"];
        assert_eq!(node(&eight, DRIVER).words(), words);
        assert_eq!(node(&[], "").words(), ["x86_64", "3 processor features"]);
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  590.1.2  Release Build";
        assert_eq!(node(&[], open).words().last().unwrap(), "NVIDIA driver 590");
    }

    #[test]
    fn the_digits_change_with_features_models_and_the_drivers_major_version_alone() {
        let base = node(&[gpu("A")], DRIVER).digits();
        assert_eq!(base.len(), 12);
        assert_eq!(node(&[gpu("A"), gpu("A")], &DRIVER.replace("95", "65")).digits(), base);
        assert_ne!(node(&[gpu("B")], DRIVER).digits(), base);
        assert_ne!(node(&[gpu("A")], &DRIVER.replace("580", "590")).digits(), base);
        let arm = Node::new("aarch64", "Features\t: fp asimd\n", &[], "");
        assert_eq!(arm.words(), ["aarch64", "2 processor features"]);
        assert_ne!(Node::new("aarch64", "Features\t: fp\n", &[], "").digits(), arm.digits());
    }
}
