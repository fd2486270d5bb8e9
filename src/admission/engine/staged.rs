//! The variables that move every cache of an engine onto local disk, with their places there.
//!
//! Never among them: `FLASHINFER_CUBIN_DIR`, `CUDA_CACHE_PATH`, `HOME`, `XDG_*` and `TMPDIR`, which move more than a cache, and what
//! an engine overwrites or derives by itself.

use super::StagedVariable;

const fn directory(name: &'static str, below: &'static str) -> StagedVariable {
    StagedVariable { name, below, is_unchecked_file: false }
}

const fn unchecked_file(name: &'static str, below: &'static str) -> StagedVariable {
    StagedVariable { name, below, is_unchecked_file: true }
}

/// Read in the sources of vLLM 0.33. It derives `DG_JIT_CACHE_DIR` from its root and overwrites `TORCHINDUCTOR_CACHE_DIR`; most other
/// `VLLM_*` enter the key of what it compiles.
pub(super) const VLLM: &[StagedVariable] = &[
    directory("VLLM_CACHE_ROOT", "vllm"),
    directory("TRITON_CACHE_DIR", "triton"),
    directory("FLASHINFER_WORKSPACE_BASE", "flashinfer"),
    directory("TILELANG_CACHE_DIR", "tilelang"),
    directory("CUTE_DSL_CACHE_DIR", "cute_dsl"),
    directory("QUACK_CACHE_DIR", "quack"),
    directory("TVM_FFI_CACHE_DIR", "tvm_ffi"),
    directory("TORCH_EXTENSIONS_DIR", "torch_extensions"),
    directory("HUMMING_CACHE_DIR", "humming"),
    directory("MINFER_FMHA_CACHE_DIR", "minfer/fmha_sm100"),
    directory("MM_SPARSE_ATTN_AOT_CACHE", "minfer/mm_sparse_attn"),
    directory("B12X_COMPILE_CACHE_DIR", "b12x"),
    directory("EP_JIT_CACHE_DIR", "deep_ep"),
];

/// Read in the sources of `SGLang` 0.5.23, which overwrites `DG_JIT_CACHE_DIR`. `FlashInfer` makes its own folder below its base.
pub(super) const SGLANG: &[StagedVariable] = &[
    directory("SGLANG_CACHE_DIR", "sglang"),
    directory("SGLANG_JIT_CACHE_DIR", "sglang/jit"),
    directory("SGLANG_DG_CACHE_DIR", "sglang/deep_gemm"),
    directory("TRITON_CACHE_DIR", "sglang/triton"),
    directory("TORCHINDUCTOR_CACHE_DIR", "sglang/inductor"),
    directory("TILELANG_CACHE_DIR", "sglang/tilelang"),
    directory("FLASHINFER_WORKSPACE_BASE", "sglang"),
    directory("TVM_FFI_CACHE_DIR", "tvm_ffi"),
    directory("CUTE_DSL_CACHE_DIR", "cute_dsl"),
    directory("QUACK_CACHE_DIR", "quack"),
    directory("TORCH_EXTENSIONS_DIR", "torch_extensions"),
    directory("EP_JIT_CACHE_DIR", "deep_ep"),
];

/// Read in stored copies of `TensorRT-LLM`'s sources. The first has no effect before NVIDIA/TensorRT-LLM#18897. Without
/// `FLASHINFER_WORKSPACE_BASE`, which would end the isolation of its ranks.
pub(super) const TRTLLM: &[StagedVariable] = &[
    directory("TRTLLM_CACHE_DIR", "trtllm"),
    unchecked_file("TLLM_AUTOTUNER_CACHE_PATH", "trtllm/autotuner/cache.json"),
    directory("TRITON_CACHE_DIR", "trtllm/triton"),
    directory("TORCHINDUCTOR_CACHE_DIR", "trtllm/inductor"),
    directory("TORCH_EXTENSIONS_DIR", "trtllm/torch_extensions"),
    directory("CUTE_DSL_CACHE_DIR", "trtllm/cute_dsl"),
    directory("DG_JIT_CACHE_DIR", "trtllm/deep_gemm"),
    directory("TVM_FFI_CACHE_DIR", "tvm_ffi"),
    directory("QUACK_CACHE_DIR", "quack"),
];
