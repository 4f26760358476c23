"""The engine: models, sampling, and streams of tokens.

Everything that produces tokens submits a prompt to an `Engine` and reads a `TokenStream`. Names are
imported when they are first used, so that who needs one option does not load everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.engine.adapters import AdapterSet, LoraAdapter
    from mullama_media.engine.control import ControlVector
    from mullama_media.engine.embedding import (
        Embedding,
        EmbeddingJob,
        EmbeddingParams,
        Score,
        ScoreParams,
    )
    from mullama_media.engine.engine import Engine, Loaded
    from mullama_media.engine.fit import Fit, fit_to_memory
    from mullama_media.engine.grammar import Grammar
    from mullama_media.engine.measurement import Measurement, measure
    from mullama_media.engine.model import Media, Model, TensorInfo
    from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
    from mullama_media.engine.perf import Counters, Perf
    from mullama_media.engine.probe import Probe, ProbeResult
    from mullama_media.engine.prompt import Message, Prompt
    from mullama_media.engine.quantization import (
        QuantizeParams,
        QuantizePlan,
        TensorPlan,
        plan_quantization,
        quantization_types,
        quantize,
        tensor_types,
    )
    from mullama_media.engine.sampler import Sampler
    from mullama_media.engine.sampling import SamplingParams
    from mullama_media.engine.session import Held, Session, SessionView
    from mullama_media.engine.steer import control_vector_from_prompts
    from mullama_media.engine.stream import (
        Completion,
        StreamConfig,
        Timings,
        TokenData,
        TokenStream,
    )
    from mullama_media.engine.system import SystemInfo, system_info
    from mullama_media.engine.tools import Answer, AnswerReader, Delta, Tool, ToolCall

__all__ = [
    "AdapterSet",
    "Answer",
    "AnswerReader",
    "Completion",
    "ControlVector",
    "Counters",
    "Delta",
    "Embedding",
    "EmbeddingJob",
    "EmbeddingParams",
    "Engine",
    "EngineParams",
    "Fit",
    "Grammar",
    "Held",
    "Loaded",
    "LoraAdapter",
    "Measurement",
    "Media",
    "MediaParams",
    "Message",
    "Model",
    "ModelParams",
    "Perf",
    "Probe",
    "ProbeResult",
    "Prompt",
    "QuantizeParams",
    "QuantizePlan",
    "Sampler",
    "SamplingParams",
    "Score",
    "ScoreParams",
    "Session",
    "SessionView",
    "StreamConfig",
    "SystemInfo",
    "TensorInfo",
    "TensorPlan",
    "Timings",
    "TokenData",
    "TokenStream",
    "Tool",
    "ToolCall",
    "control_vector_from_prompts",
    "fit_to_memory",
    "measure",
    "plan_quantization",
    "quantization_types",
    "quantize",
    "system_info",
    "tensor_types",
]

_HOMES = {
    "AdapterSet": "adapters",
    "Answer": "tools",
    "AnswerReader": "tools",
    "Completion": "stream",
    "ControlVector": "control",
    "Counters": "perf",
    "Delta": "tools",
    "Embedding": "embedding",
    "EmbeddingJob": "embedding",
    "EmbeddingParams": "embedding",
    "Engine": "engine",
    "EngineParams": "params",
    "Fit": "fit",
    "Grammar": "grammar",
    "Held": "session",
    "Loaded": "engine",
    "LoraAdapter": "adapters",
    "Measurement": "measurement",
    "Media": "model",
    "MediaParams": "params",
    "Message": "prompt",
    "Model": "model",
    "ModelParams": "params",
    "Perf": "perf",
    "Probe": "probe",
    "ProbeResult": "probe",
    "Prompt": "prompt",
    "QuantizeParams": "quantization",
    "QuantizePlan": "quantization",
    "Sampler": "sampler",
    "SamplingParams": "sampling",
    "Score": "embedding",
    "ScoreParams": "embedding",
    "Session": "session",
    "SessionView": "session",
    "StreamConfig": "stream",
    "SystemInfo": "system",
    "TensorInfo": "model",
    "TensorPlan": "quantization",
    "Timings": "stream",
    "TokenData": "stream",
    "TokenStream": "stream",
    "Tool": "tools",
    "ToolCall": "tools",
    "control_vector_from_prompts": "steer",
    "fit_to_memory": "fit",
    "measure": "measurement",
    "plan_quantization": "quantization",
    "quantization_types": "quantization",
    "quantize": "quantization",
    "system_info": "system",
    "tensor_types": "quantization",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
