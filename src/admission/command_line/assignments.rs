//! Which variables the scripts of a command line assign, of those that decide about a cache.

use super::shell::{Assignment, Listener, listen};
use super::words::is_script;

#[cfg(test)]
mod tests;

/// The variables that the elements of a command line assign, by `env` or in a script.
pub(super) fn assigned<'a>(elements: impl Iterator<Item = &'a str>) -> Assigned {
    let mut assigned = Assigned::default();
    listen(elements, &mut assigned);
    assigned
}

/// The variables whose assignment decides where a cache is, or which server is asked. One that ends in `_` stands for all that
/// begin so.
const NAMES: [&str; 27] = [
    "B12X_COMPILE_CACHE_DIR",
    "CUTE_DSL_CACHE_DIR",
    "DG_JIT_CACHE_DIR",
    "EP_JIT_CACHE_DIR",
    "FLASHINFER_WORKSPACE_BASE",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HUMMING_CACHE_DIR",
    "MINFER_FMHA_CACHE_DIR",
    "MM_SPARSE_ATTN_AOT_CACHE",
    "MODEL_EXPRESS_URL",
    "MX_ARTIFACT_",
    "MX_SERVER_ADDRESS",
    "QUACK_CACHE_DIR",
    "SGLANG_CACHE_DIR",
    "SGLANG_DG_CACHE_DIR",
    "SGLANG_JIT_CACHE_DIR",
    "TILELANG_CACHE_DIR",
    "TLLM_AUTOTUNER_CACHE_PATH",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_EXTENSIONS_DIR",
    "TRITON_CACHE_DIR",
    "TRTLLM_CACHE_DIR",
    "TVM_FFI_CACHE_DIR",
    "VLLM_CACHE_ROOT",
    "XDG_CACHE_HOME",
];

/// Some of these variables, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assigned(u32);

impl Assigned {
    /// Whether a variable is assigned; `false` for every name that decides nothing.
    pub fn has(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    fn insert(&mut self, name: &str) {
        let means = |known: &&str| *known == name || (known.ends_with('_') && name.starts_with(known));
        if let Some(bit) = NAMES.iter().position(means) {
            self.0 |= 1 << bit;
        }
    }
}

impl Listener for Assigned {
    const KEEPS_WORDS: bool = false;

    fn is_script(element: &str, _: &str, after_c: bool) -> bool {
        is_script(element, after_c)
    }

    fn wants(&self, script: &str) -> bool {
        NAMES.iter().any(|name| script.contains(name))
    }

    fn assign(&mut self, assignment: Assignment<'_>) {
        self.insert(assignment.name);
    }

    fn command(&mut self, _: Vec<String>) {}
}
