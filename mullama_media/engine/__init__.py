"""The engine: models, sampling, and streams of tokens.

Everything that produces tokens submits a prompt to an `Engine` and reads a `TokenStream`.
"""

from mullama_media.engine.engine import Engine
from mullama_media.engine.grammar import Grammar
from mullama_media.engine.model import Media, Model
from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
from mullama_media.engine.prompt import Message, Prompt
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import Completion, StreamConfig, Timings, TokenData, TokenStream
from mullama_media.engine.system import SystemInfo, system_info
from mullama_media.engine.tools import Answer, AnswerReader, Delta, Tool, ToolCall

__all__ = [
    "Answer",
    "AnswerReader",
    "Completion",
    "Delta",
    "Engine",
    "EngineParams",
    "Grammar",
    "Media",
    "MediaParams",
    "Message",
    "Model",
    "ModelParams",
    "Prompt",
    "SamplingParams",
    "StreamConfig",
    "SystemInfo",
    "Timings",
    "TokenData",
    "TokenStream",
    "Tool",
    "ToolCall",
    "system_info",
]
