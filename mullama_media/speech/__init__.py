"""Speech as it happens: from a source of samples to utterances, and from text to a loudspeaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.speech.narration import (
        Narration,
        NarrationParams,
        speak_stream,
        speak_stream_async,
        synthesize,
    )
    from mullama_media.speech.processor import StreamingAudioProcessor, StreamMetrics
    from mullama_media.speech.sentences import SentenceParams, SentenceSplitter, split_sentences
    from mullama_media.speech.speakable import SpeakableParams
    from mullama_media.speech.spoken import Spoken
    from mullama_media.speech.voices import Voice, VoiceParams, installed_voices, load_voice

__all__ = [
    "Narration",
    "NarrationParams",
    "SentenceParams",
    "SentenceSplitter",
    "SpeakableParams",
    "Spoken",
    "StreamMetrics",
    "StreamingAudioProcessor",
    "Voice",
    "VoiceParams",
    "installed_voices",
    "load_voice",
    "speak_stream",
    "speak_stream_async",
    "split_sentences",
    "synthesize",
]

_HOMES = {
    "Narration": "narration",
    "NarrationParams": "narration",
    "SentenceParams": "sentences",
    "SentenceSplitter": "sentences",
    "SpeakableParams": "speakable",
    "Spoken": "spoken",
    "StreamMetrics": "processor",
    "StreamingAudioProcessor": "processor",
    "Voice": "voices",
    "VoiceParams": "voices",
    "installed_voices": "voices",
    "load_voice": "voices",
    "speak_stream": "narration",
    "speak_stream_async": "narration",
    "split_sentences": "sentences",
    "synthesize": "narration",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
