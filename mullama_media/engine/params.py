"""How models are loaded and engines are sized."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["EngineParams", "MediaParams", "ModelParams"]

_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


@options
class ModelParams:
    """How a language model is loaded."""

    gpu_layers: int = option(-1, "Layers to put on the GPU; -1 for all of them.", ge=-1)
    split_mode: str = option(
        "layer", "How several GPUs share the model.", choices=("none", "layer", "row")
    )
    main_gpu: int = option(0, "The GPU that holds everything when split_mode is none.", ge=0)
    mmap: bool = option(True, "Map the file into memory instead of reading it.")
    mlock: bool = option(False, "Keep the model from being swapped out.")
    check_tensors: bool = option(False, "Look for invalid numbers in the weights while loading.")
    vocab_only: bool = option(False, "Load the vocabulary alone, for tokenisation.")


@options
class MediaParams:
    """How the vision and audio encoders of an mmproj run."""

    use_gpu: bool = option(True, "Run the encoders on the GPU if there is one.")
    threads: int | None = option(None, "CPU threads; None for one a physical core.", ge=1)
    image_min_tokens: int | None = option(
        None, "Fewest tokens a picture may become (dynamic-resolution models only).", ge=1
    )
    image_max_tokens: int | None = option(
        None, "Most tokens a picture may become (dynamic-resolution models only).", ge=1
    )


@options
class EngineParams:
    """The size of an engine: how many requests run at once, and how long they may be."""

    n_ctx: int | None = option(
        4096,
        "Tokens each request may hold, prompt and answer together; None for all the model was "
        "trained for. Memory is taken for n_ctx * n_parallel.",
        ge=1,
    )
    n_parallel: int = option(4, "Requests that run at once; more wait in a queue.", ge=1, le=256)
    n_batch: int = option(2048, "Most prompt tokens evaluated in one step.", ge=1)
    n_ubatch: int = option(
        512, "Prompt tokens evaluated before the other requests get their next token.", ge=1
    )
    threads: int | None = option(
        None, "CPU threads for generation; None for one a physical core.", ge=1
    )
    threads_batch: int | None = option(
        None, "CPU threads for prompts; None for as many as `threads`.", ge=1
    )
    flash_attention: str = option(
        "auto", "Flash attention where the backend has it.", choices=("auto", "on", "off")
    )
    cache_type_k: str = option("f16", "Type of the keys in the KV cache.", choices=_CACHE_TYPES)
    cache_type_v: str = option("f16", "Type of the values in the KV cache.", choices=_CACHE_TYPES)
    offload_kqv: bool = option(True, "Keep the KV cache on the GPU if there is one.")
