"""A live chat from options: models loaded, devices opened, and all of it closed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mullama_media.assistant.chat import LiveChat
from mullama_media.assistant.params import ChatParams
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
from mullama_media.errors import InvalidOptionError
from mullama_media.frames import Source
from mullama_media.io.params import MicrophoneParams, SpeakerParams
from mullama_media.multimodal import MultimodalProcessor
from mullama_media.options import option, options
from mullama_media.speech.params import TranscriberParams
from mullama_media.speech.processor import StreamingAudioProcessor
from mullama_media.speech.turns import JudgeTurn
from mullama_media.speech.turns.model import EndOfTurnModel
from mullama_media.speech.voices.voice import VoiceParams

__all__ = ["TABLES", "AssistantParams", "open_chat"]


@options
class AssistantParams:
    """Who takes part in a live conversation."""

    model: str = option(default="tiny-omni", doc="Name of the model that answers.")
    mmproj: str | None = option(default=None, doc="Its encoders, where its name lacks them.")
    transcribe: bool = option(
        default=True,
        doc="Write speech down for the model (table transcriber says how); otherwise it hears by "
        "itself.",
    )
    speak: bool = option(default=True, doc="Say answers aloud.")


TABLES: dict[str, type[Any]] = {
    "assistant": AssistantParams,
    "chat": ChatParams,
    "microphone": MicrophoneParams,
    "audio": AudioStreamConfig,
    "transcriber": TranscriberParams,
    "engine": EngineParams,
    "model": ModelParams,
    "media": MediaParams,
    "voice": VoiceParams,
    "speaker": SpeakerParams,
}
"""Of a TOML file, for `mullama_media.options.load_toml`"""


@asynccontextmanager
async def open_chat(
    tables: Mapping[str, Any], source: Callable[[], Source] | None = None
) -> AsyncIterator[LiveChat]:
    """A chat with everything it needs, from the options of `TABLES`; those left out are defaults.

    Args:
        tables: options by the name of their table.
        source: what is heard instead of the microphone.

    Raises:
        What loading models, opening devices and `LiveChat` raise.
    """
    given = {name: tables.get(name) or cls() for name, cls in TABLES.items()}
    who: AssistantParams = given["assistant"]
    async with AsyncExitStack() as stack:
        processor = await stack.enter_async_context(
            await MultimodalProcessor.load_async(
                who.model,
                mmproj=who.mmproj,
                model_params=given["model"],
                media_params=given["media"],
                engine_params=given["engine"],
            )
        )
        options: dict[str, Any] = {}
        if who.transcribe:
            from mullama_media.speech.loading import load_transcriber_async

            options["transcriber"] = await load_transcriber_async(given["transcriber"])
            stack.push_async_callback(asyncio.to_thread, options["transcriber"].close)
        if who.speak:
            from mullama_media.io.speaker import Speaker
            from mullama_media.speech.voices import load_voice

            options["voice"] = await asyncio.to_thread(load_voice, given["voice"])
            speaker = await asyncio.to_thread(Speaker(given["speaker"]).open)
            stack.push_async_callback(asyncio.to_thread, speaker.close)
            options["speaker"] = speaker
        if given["chat"].turns.end_threshold is not None:
            options["judge"] = await asyncio.to_thread(_judge, processor, who)
        ear = StreamingAudioProcessor(source or _microphone(given["microphone"]), given["audio"])
        chat = LiveChat(ear, processor, given["chat"], **options)
        yield await stack.enter_async_context(chat)


def _judge(processor: MultimodalProcessor, who: AssistantParams) -> Callable[[JudgeTurn], float]:
    """The model that answers says whether a turn is over, too, by what was written down of it."""
    if not who.transcribe:
        raise InvalidOptionError(
            "it needs transcripts",
            where="TurnParams.end_threshold",
            hint="Set transcribe, or leave it out",
        )
    model = EndOfTurnModel(processor.engine)
    return lambda asked: model.probability(asked.text) if asked.text else 0.0


def _microphone(params: MicrophoneParams) -> Callable[[], Source]:
    def make() -> Source:
        from mullama_media.io.microphone import Microphone

        return Microphone(params)

    return make
