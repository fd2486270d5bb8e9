//! The GPU that a container will run on, as far as the pod shows.

use super::super::super::annotation::{GPU_LABELS, NODE_ARCH};
use super::super::super::pod::{Container, MIG_PREFIX, Pod};

/// The GPU part of a key where the pod does not name a GPU.
const ANY: &str = "any";

/// The processor that the key does not name.
const USUAL_ARCH: &str = "amd64";

/// The GPU, the slice of it that the container asks for, and the processor beside it unless it is the usual one.
pub(super) fn name(pod: &Pod<'_>, container: &Container<'_>) -> String {
    let product = product(pod);
    let slice = mig_slice(container).map(|profile| format!("-MIG-{profile}")).unwrap_or_default();
    let arch = pinned(pod, NODE_ARCH).filter(|arch| *arch != USUAL_ARCH && is_label_value(arch));
    let arch = arch.map(|arch| format!("-{arch}")).unwrap_or_default();
    format!("{}{slice}{arch}", product.unwrap_or(ANY))
}

/// Whether the pod names its GPU.
pub(super) fn is_known(pod: &Pod<'_>) -> bool {
    product(pod).is_some()
}

fn product<'p>(pod: &'p Pod<'_>) -> Option<&'p str> {
    GPU_LABELS.iter().find_map(|label| pinned(pod, label)).filter(|product| is_label_value(product))
}

/// The only value that a label of the pod's node can have: by node selector, or by an affinity of which every term says so.
fn pinned<'p>(pod: &'p Pod<'_>, label: &str) -> Option<&'p str> {
    let spec = pod.spec.as_ref()?;
    if let Some(value) = spec.node_selector.as_ref().and_then(|labels| labels.value(label)) {
        return Some(value);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let terms = affinity.node_selector_terms.as_deref().unwrap_or_default();
    let mut values = terms.iter().map(|term| {
        let mut expressions = term.match_expressions.iter().flatten();
        expressions.find_map(|expression| {
            let names = expression.key.as_deref() == Some(label) && expression.operator.as_deref() == Some("In");
            match expression.values.as_deref() {
                Some([value]) if names => Some(&**value),
                _ => None,
            }
        })
    });
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// The alphabetically first MIG profile that the container asks for.
fn mig_slice<'c>(container: &'c Container<'_>) -> Option<&'c str> {
    let resources = container.resources.as_ref()?;
    let amounts = resources.limits.iter().chain(&resources.requests).flat_map(|resources| &resources.0);
    let asked = amounts.filter(|(_, amount)| amount.get().trim_matches('"') != "0");
    asked.filter_map(|(name, _)| name.strip_prefix(MIG_PREFIX)).filter(|profile| is_label_value(profile)).min()
}

/// What Kubernetes accepts as a label's value, which is also a safe name of a directory.
fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63 && ends(text.bytes().next()) && ends(text.bytes().last()) && is_part(text)
}

/// Whether a text has no other characters than a GPU's part of a key.
pub(super) fn is_part(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
