"""A vLLM plugin: on a CPU, vLLM compiles, saves and loads as it does on a GPU.

As shipped, vLLM's platform for CPUs falls back to a simpler mode, whose saved artifact it cannot load again. What is
under test here, how vLLM saves, finds and loads what it compiled, is the code of the mode for GPUs.
"""

import functools


def register():
    """Called by vLLM in each of its processes, before it makes its configuration."""
    from vllm.compilation.passes.utility.fix_functionalization import FixFunctionalizationPass
    from vllm.config import CompilationMode
    from vllm.platforms.cpu import CpuPlatform

    shipped = CpuPlatform.check_and_update_config

    @functools.wraps(shipped)
    def check_and_update_config(config):
        compilation = config.compilation_config
        asked = compilation.mode
        shipped(config)
        # The platform replaces only this mode by the simpler one. A model with adapters it does not compile at
        # all (NONE), and that stays.
        if asked == CompilationMode.VLLM_COMPILE and compilation.mode == CompilationMode.DYNAMO_TRACE_ONCE:
            compilation.mode = asked
        # On a GPU, the step that sizes CUDA graphs makes this a list, and the mode iterates over it.
        if compilation.compile_sizes is None:
            compilation.compile_sizes = []

    CpuPlatform.check_and_update_config = staticmethod(check_and_update_config)
    # The pass names operators that only a build for GPUs has, and they are looked up even where none is used. It
    # saves copies and changes no result.
    FixFunctionalizationPass.__call__ = lambda self, graph: None
