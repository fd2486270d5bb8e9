//! The inference engines and what each one caches, as data.

/// An inference engine that Dynamo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `SGLang`.
    Sglang,
    /// `TensorRT-LLM`.
    Trtllm,
    /// vLLM.
    Vllm,
}

impl Engine {
    /// All of them, by name.
    pub const ALL: [Engine; 3] = [Engine::Sglang, Engine::Trtllm, Engine::Vllm];
}

/// One variable that moves a compile cache, and where it points below the cache's own directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheVariable {
    /// The variable's name.
    pub name: &'static str,
    /// What is below the directory; empty: the directory itself.
    pub below: &'static str,
    /// Whether what is cached there holds for one image and one GPU only, with nothing that checks it on load.
    pub unchecked: bool,
}

const fn variable(name: &'static str, below: &'static str) -> CacheVariable {
    CacheVariable { name, below, unchecked: false }
}

/// Read in the sources of vLLM 0.31 and 0.33.
const VLLM: &[CacheVariable] = &[variable("VLLM_CACHE_ROOT", ""), variable("TRITON_CACHE_DIR", "triton")];

/// Read in the sources of `SGLang` 0.5.21 and 0.5.23.
const SGLANG: &[CacheVariable] = &[
    variable("TRITON_CACHE_DIR", "triton"),
    variable("SGLANG_JIT_CACHE_DIR", "jit"),
    variable("SGLANG_DG_CACHE_DIR", "deep_gemm"),
];

/// Read in stored copies of `TensorRT-LLM`'s sources.
const TRTLLM: &[CacheVariable] = &[
    CacheVariable { name: "TLLM_AUTOTUNER_CACHE_PATH", below: "autotuner.json", unchecked: true },
    variable("TRITON_CACHE_DIR", "triton"),
];

impl Engine {
    /// The engine that a setting names.
    pub fn named(name: &str) -> Option<Engine> {
        match name {
            "sglang" => Some(Engine::Sglang),
            "trtllm" => Some(Engine::Trtllm),
            "vllm" => Some(Engine::Vllm),
            _ => None,
        }
    }

    /// The name as a setting writes it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sglang => "sglang",
            Engine::Trtllm => "trtllm",
            Engine::Vllm => "vllm",
        }
    }

    /// The engine inside an image, by the image's last name; none for other images.
    pub fn of_image(name: &str) -> Option<Engine> {
        match name {
            "sglang" | "sglang-runtime" => Some(Engine::Sglang),
            "tensorrtllm-runtime" => Some(Engine::Trtllm),
            "vllm-openai" | "vllm-runtime" => Some(Engine::Vllm),
            _ => None,
        }
    }

    /// Where the compile claim is mounted unless a setting says otherwise.
    pub fn compile_mount_path(self) -> &'static str {
        match self {
            Engine::Sglang => "/home/dynamo/.cache/sglang",
            Engine::Trtllm => "/home/dynamo/.cache/tensorrt_llm",
            Engine::Vllm => "/home/dynamo/.cache/vllm",
        }
    }

    /// The variables that move the engine's compile caches, those that several pods may share.
    pub fn compile_variables(self) -> &'static [CacheVariable] {
        match self {
            Engine::Sglang => SGLANG,
            Engine::Trtllm => TRTLLM,
            Engine::Vllm => VLLM,
        }
    }
}
