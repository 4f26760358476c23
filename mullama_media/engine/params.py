"""How models are loaded and engines are sized."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["EngineParams", "MediaParams", "ModelParams"]

_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


@options
class ModelParams:
    """How a language model is loaded."""

    gpu_layers: int = option(default=-1, doc="Layers to put on the GPU; -1 for all of them.", ge=-1)
    split_mode: str = option(
        default="layer",
        doc="How several GPUs share the model: whole layers, rows of matrices, or tensors in "
        "parallel.",
        choices=("none", "layer", "row", "tensor"),
    )
    main_gpu: int = option(
        default=0, doc="The GPU that holds everything when split_mode is none.", ge=0
    )
    devices: tuple[str, ...] = option(
        default=(),
        doc="Devices to use, by the names `mullama info` shows; empty for all, 'none' for the CPU "
        "alone.",
    )
    tensor_split: tuple[float, ...] = option(
        default=(), doc="Share of the model for each device, such as (3, 1); empty: by free memory."
    )
    override_tensors: tuple[str, ...] = option(
        default=(),
        doc="'regex=buffer type' for tensors whose name it is found in, such as 'ffn_.*_exps=CPU'.",
    )
    metadata_overrides: tuple[str, ...] = option(
        default=(), doc="'key=type:value' instead of the file's; type is int, float, bool or str."
    )
    mmap: bool = option(default=True, doc="Map the file into memory instead of reading it.")
    mlock: bool = option(default=False, doc="Keep the model from being swapped out.")
    check_tensors: bool = option(
        default=False, doc="Look for invalid numbers in the weights while loading."
    )
    vocab_only: bool = option(default=False, doc="Load the vocabulary alone, for tokenisation.")
    direct_io: bool = option(
        default=False, doc="Read past the system's file cache; mmap and mlock are then not used."
    )
    repack: bool = option(
        default=True, doc="Reorder weights for the CPU where that is quicker; takes loading time."
    )
    no_host: bool = option(
        default=False, doc="Keep weights that stay on the CPU out of memory shared with the GPU."
    )
    mtp: bool = option(
        default=False,
        doc="Load the layers that predict further tokens, where a model has them, for an engine "
        "with speculative='mtp'.",
    )
    numa: str = option(
        default="none",
        doc="Spread of memory on machines with several processors; one for the whole process.",
        choices=("none", "distribute", "isolate", "numactl", "mirror"),
    )


@options
class MediaParams:
    """How the vision and audio encoders of an mmproj run."""

    use_gpu: bool = option(default=True, doc="Run the encoders on the GPU if there is one.")
    threads: int | None = option(
        default=None, doc="CPU threads; None for one a physical core.", ge=1
    )
    flash_attention: str = option(
        default="auto",
        doc="Flash attention in the encoders, where the backend has it. On a CPU it keeps keys and "
        "values in 16 bits.",
        choices=("auto", "on", "off"),
    )
    image_min_tokens: int | None = option(
        default=None,
        doc="Fewest tokens a picture may become (dynamic-resolution models only).",
        ge=1,
    )
    image_max_tokens: int | None = option(
        default=None, doc="Most tokens a picture may become (dynamic-resolution models only).", ge=1
    )


@options
class EngineParams:
    """The size of an engine: how many requests run at once, and how long they may be.

    There is no option to defragment the KV cache: llama.cpp finds room for a token anywhere in it
    and has no such step any more (docs/state.md).
    """

    n_ctx: int | None = option(
        default=4096,
        doc="Tokens each request may hold, prompt and answer together; None for all the model was "
        "trained for. Memory is taken for n_ctx * n_parallel.",
        ge=1,
    )
    n_parallel: int = option(
        default=4,
        doc="Requests that run at once; more wait in a queue. An encoder, whose sequences cost no "
        "memory, takes as many texts at once as fit n_ubatch.",
        ge=1,
        le=256,
    )
    n_batch: int = option(default=2048, doc="Most prompt tokens evaluated in one step.", ge=1)
    n_ubatch: int = option(
        default=512, doc="Most tokens evaluated at once; bounds the working memory.", ge=1
    )
    prefill_chunk: int = option(
        default=128,
        doc="Prompt tokens evaluated before running requests get their next token.",
        ge=1,
    )
    max_queue: int = option(
        default=1024, doc="Requests that may wait; one more is refused (OverloadedError).", ge=1
    )
    reuse_prefix: bool = option(
        default=True,
        doc="Begin a prompt where a sequence's KV cache agrees with it, media included.",
    )
    pooling: str = option(
        default="off",
        doc="Embeddings: off for generation alone; what one is made of: model (as its file says), "
        "mean, cls or last (of the states of its tokens), none (one a token); rank for the scores "
        "of a reranker or classifier. The engine still generates where the model can.",
        choices=("off", "model", "none", "mean", "cls", "last", "rank"),
    )
    media_cache_mb: int = option(
        default=256, doc="Encoded pictures and recordings to remember, in MiB.", ge=0
    )
    speculative: str = option(
        default="off",
        doc="Guess tokens and check several in one evaluation: lookup takes them from earlier "
        "text, draft from a smaller model, mtp from the model's own further layers.",
        choices=("off", "lookup", "draft", "mtp"),
    )
    draft_max: int = option(default=8, doc="Most tokens guessed at once.", ge=1, le=64)
    draft_p_min: float = option(
        default=0.5, doc="A draft model stops guessing below this probability.", ge=0, le=1
    )
    lookup_ngram: int = option(
        default=3, doc="Tokens that must have occurred before for lookup to guess.", ge=1, le=32
    )
    threads: int | None = option(
        default=None, doc="CPU threads for generation; None for one a physical core.", ge=1
    )
    threads_batch: int | None = option(
        default=None, doc="CPU threads for prompts; None for as many as `threads`.", ge=1
    )
    flash_attention: str = option(
        default="auto",
        doc="Flash attention where the backend has it.",
        choices=("auto", "on", "off"),
    )
    cache_type_k: str = option(
        default="f16", doc="Type of the keys in the KV cache.", choices=_CACHE_TYPES
    )
    cache_type_v: str = option(
        default="f16", doc="Type of the values in the KV cache.", choices=_CACHE_TYPES
    )
    offload_kqv: bool = option(default=True, doc="Keep the KV cache on the GPU if there is one.")
    op_offload: bool = option(
        default=True, doc="Let the GPU work on large batches with weights that stay on the CPU."
    )
    swa_full: bool = option(
        default=True,
        doc="Keep the whole context of sliding-window layers; without it they take less memory "
        "but a prompt cannot be taken up again from the middle.",
    )
    rope_scaling: str = option(
        default="model",
        doc="How positions are stretched beyond the trained context.",
        choices=("model", "none", "linear", "yarn", "longrope"),
    )
    rope_freq_base: float | None = option(
        default=None, doc="Base of the position frequencies; None for the model's.", gt=0
    )
    rope_freq_scale: float | None = option(
        default=None,
        doc="Factor on the position frequencies: 0.5 for twice the context; None for the model's.",
        gt=0,
    )
    yarn_ext_factor: float | None = option(
        default=None, doc="YaRN: share of extrapolation; None for the model's.", ge=0
    )
    yarn_attn_factor: float | None = option(
        default=None, doc="YaRN: factor on the attention; None for the model's.", ge=0
    )
    yarn_beta_fast: float | None = option(
        default=None, doc="YaRN: rotations from which positions stay as they are.", ge=0
    )
    yarn_beta_slow: float | None = option(
        default=None, doc="YaRN: rotations below which positions are stretched whole.", ge=0
    )
    yarn_orig_ctx: int | None = option(
        default=None, doc="YaRN: context the model was trained for; None for what it says.", ge=1
    )
