"""Local multimodal and real-time audio on llama.cpp.

    from pathlib import Path
    from mullama_media import MultimodalProcessor

    with MultimodalProcessor.load("tiny-omni") as processor:
        for token in processor.stream([Path("photo.jpg"), "What is in the picture?"]):
            print(token, end="", flush=True)

Names are imported when they are first used, so `import mullama_media` is quick and works before
anything is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.audio.config import AudioStreamConfig
    from mullama_media.engine import (
        AdapterSet,
        Answer,
        Completion,
        ControlVector,
        Delta,
        Embedding,
        EmbeddingJob,
        EmbeddingParams,
        Engine,
        EngineParams,
        Grammar,
        LoraAdapter,
        Media,
        MediaParams,
        Message,
        Model,
        ModelParams,
        Prompt,
        QuantizeParams,
        QuantizePlan,
        Sampler,
        SamplingParams,
        Score,
        ScoreParams,
        Session,
        StreamConfig,
        SystemInfo,
        Timings,
        TokenData,
        TokenStream,
        Tool,
        ToolCall,
        plan_quantization,
        quantization_types,
        quantize,
        system_info,
    )
    from mullama_media.errors import MullamaError
    from mullama_media.frames import (
        AudioChunk,
        AudioFormat,
        AudioFrame,
        DeviceChange,
        Discontinuity,
        Image,
        Utterance,
    )
    from mullama_media.io import (
        AsyncSource,
        BytesSource,
        FileSource,
        Microphone,
        MicrophoneParams,
        Speaker,
        SpeakerParams,
    )
    from mullama_media.multimodal import CaptionParams, Conversation, MultimodalProcessor
    from mullama_media.speech import (
        LiveTranscriber,
        StreamingAudioProcessor,
        TranscriberParams,
        Transcript,
        TranscriptionParams,
        load_transcriber,
    )
    from mullama_media.vision.fetch import Url
    from mullama_media.vision.params import (
        DecodeParams,
        FetchParams,
        FitParams,
        PictureParams,
        VideoParams,
    )
    from mullama_media.vision.video import Clip, Video

__version__ = "0.1.0"

__all__ = [
    "AdapterSet",
    "Answer",
    "AsyncSource",
    "AudioChunk",
    "AudioFormat",
    "AudioFrame",
    "AudioStreamConfig",
    "BytesSource",
    "CaptionParams",
    "Clip",
    "Completion",
    "ControlVector",
    "Conversation",
    "DecodeParams",
    "Delta",
    "DeviceChange",
    "Discontinuity",
    "Embedding",
    "EmbeddingJob",
    "EmbeddingParams",
    "Engine",
    "EngineParams",
    "FetchParams",
    "FileSource",
    "FitParams",
    "Grammar",
    "Image",
    "LiveTranscriber",
    "LoraAdapter",
    "Media",
    "MediaParams",
    "Message",
    "Microphone",
    "MicrophoneParams",
    "Model",
    "ModelParams",
    "MullamaError",
    "MultimodalProcessor",
    "PictureParams",
    "Prompt",
    "QuantizeParams",
    "QuantizePlan",
    "Sampler",
    "SamplingParams",
    "Score",
    "ScoreParams",
    "Session",
    "Speaker",
    "SpeakerParams",
    "StreamConfig",
    "StreamingAudioProcessor",
    "SystemInfo",
    "Timings",
    "TokenData",
    "TokenStream",
    "Tool",
    "ToolCall",
    "TranscriberParams",
    "Transcript",
    "TranscriptionParams",
    "Url",
    "Utterance",
    "Video",
    "VideoParams",
    "load_transcriber",
    "plan_quantization",
    "quantization_types",
    "quantize",
    "system_info",
]

_HOMES = {
    "AsyncSource": "mullama_media.io",
    "AudioChunk": "mullama_media.frames",
    "AudioFormat": "mullama_media.frames",
    "AudioFrame": "mullama_media.frames",
    "AudioStreamConfig": "mullama_media.audio.config",
    "BytesSource": "mullama_media.io",
    "CaptionParams": "mullama_media.multimodal",
    "Conversation": "mullama_media.multimodal",
    "DecodeParams": "mullama_media.vision.params",
    "Clip": "mullama_media.vision.video",
    "DeviceChange": "mullama_media.frames",
    "Discontinuity": "mullama_media.frames",
    "FetchParams": "mullama_media.vision.params",
    "FileSource": "mullama_media.io",
    "FitParams": "mullama_media.vision.params",
    "Image": "mullama_media.frames",
    "Microphone": "mullama_media.io",
    "MicrophoneParams": "mullama_media.io",
    "MullamaError": "mullama_media.errors",
    "MultimodalProcessor": "mullama_media.multimodal",
    "PictureParams": "mullama_media.vision.params",
    "Url": "mullama_media.vision.fetch",
    "Speaker": "mullama_media.io",
    "SpeakerParams": "mullama_media.io",
    "Utterance": "mullama_media.frames",
    **dict.fromkeys(
        (
            "LiveTranscriber",
            "StreamingAudioProcessor",
            "TranscriberParams",
            "Transcript",
            "TranscriptionParams",
            "load_transcriber",
        ),
        "mullama_media.speech",
    ),
    "Video": "mullama_media.vision.video",
    "VideoParams": "mullama_media.vision.params",
}

__getattr__, __dir__ = lend(__name__, {**dict.fromkeys(__all__, "mullama_media.engine"), **_HOMES})
