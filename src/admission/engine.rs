//! The inference engines and what each one caches, as data.

mod staged;

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

    /// The folder below `~/.cache` where the engine looks for what it compiled before.
    pub fn compile_folder(self) -> &'static str {
        match self {
            Engine::Sglang => "sglang",
            Engine::Trtllm => "tensorrt_llm",
            Engine::Vllm => "vllm",
        }
    }

    /// The variable that moves the one compile cache of the engine that several pods may write to at the same time; none where
    /// the engine has no such cache.
    ///
    /// Read in the sources of vLLM 0.31 and 0.33, `SGLang` 0.5.21 and 0.5.23, and in stored copies of `TensorRT-LLM`'s. Triton's
    /// own cache crashes on network file systems (triton-lang/triton#11512); vLLM keeps what it compiles by Triton below its own.
    pub fn compile_variable(self) -> Option<&'static str> {
        match self {
            Engine::Sglang => Some("SGLANG_JIT_CACHE_DIR"),
            // A writer that is killed leaves a file of which every later start dies (NVIDIA/TensorRT-LLM#14441).
            Engine::Trtllm => None,
            Engine::Vllm => Some("VLLM_CACHE_ROOT"),
        }
    }

    /// The variables that move a compile cache of any engine.
    pub fn compile_variables() -> impl Iterator<Item = &'static str> {
        Engine::ALL.into_iter().filter_map(Engine::compile_variable)
    }

    /// Whether a variable moves a cache of any engine where the engine works on local disk alone.
    pub fn is_staged_variable(name: &str) -> bool {
        Engine::ALL.iter().flat_map(|engine| engine.staged_variables()).any(|variable| variable.name == name)
    }

    /// The variables that move the engine's caches where the engine works on local disk alone: each with its place below the
    /// directory of the cache.
    pub fn staged_variables(self) -> &'static [StagedVariable] {
        match self {
            Engine::Sglang => staged::SGLANG,
            Engine::Trtllm => staged::TRTLLM,
            Engine::Vllm => staged::VLLM,
        }
    }
}

/// A variable that moves a cache onto local disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedVariable {
    /// Its name.
    pub name: &'static str,
    /// Its place below the directory of the cache.
    pub below: &'static str,
    /// Whether it names a file, of which nothing checks on loading for which GPU and which version it was written.
    pub is_unchecked_file: bool,
}
