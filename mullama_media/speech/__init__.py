"""Speech as it happens: from a source of samples to utterances and what was said, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.speech.job import TranscriptJob
    from mullama_media.speech.live import LiveMetrics, LiveTranscriber
    from mullama_media.speech.loading import load_transcriber, load_transcriber_async
    from mullama_media.speech.mtmd import MtmdTranscriber
    from mullama_media.speech.narration import (
        Narration,
        NarrationParams,
        speak_stream,
        speak_stream_async,
        synthesize,
    )
    from mullama_media.speech.params import TranscriberParams, TranscriptionParams
    from mullama_media.speech.processor import StreamingAudioProcessor, StreamMetrics
    from mullama_media.speech.sentences import SentenceParams, SentenceSplitter, split_sentences
    from mullama_media.speech.speakable import SpeakableParams
    from mullama_media.speech.spoken import Spoken
    from mullama_media.speech.transcriber import Transcriber
    from mullama_media.speech.transcript import Segment, Transcript, Word
    from mullama_media.speech.voices import Voice, VoiceParams, installed_voices, load_voice
    from mullama_media.speech.whisper import WhisperTranscriber

__all__ = [
    "LiveMetrics",
    "LiveTranscriber",
    "MtmdTranscriber",
    "Narration",
    "NarrationParams",
    "Segment",
    "SentenceParams",
    "SentenceSplitter",
    "SpeakableParams",
    "Spoken",
    "StreamMetrics",
    "StreamingAudioProcessor",
    "Transcriber",
    "TranscriberParams",
    "Transcript",
    "TranscriptJob",
    "TranscriptionParams",
    "Voice",
    "VoiceParams",
    "WhisperTranscriber",
    "Word",
    "installed_voices",
    "load_transcriber",
    "load_transcriber_async",
    "load_voice",
    "speak_stream",
    "speak_stream_async",
    "split_sentences",
    "synthesize",
]

_HOMES = {
    "LiveMetrics": "live",
    "LiveTranscriber": "live",
    "MtmdTranscriber": "mtmd",
    "Narration": "narration",
    "NarrationParams": "narration",
    "Segment": "transcript",
    "SentenceParams": "sentences",
    "SentenceSplitter": "sentences",
    "SpeakableParams": "speakable",
    "Spoken": "spoken",
    "StreamMetrics": "processor",
    "StreamingAudioProcessor": "processor",
    "Transcriber": "transcriber",
    "TranscriberParams": "params",
    "Transcript": "transcript",
    "TranscriptJob": "job",
    "TranscriptionParams": "params",
    "Voice": "voices",
    "VoiceParams": "voices",
    "WhisperTranscriber": "whisper",
    "Word": "transcript",
    "installed_voices": "voices",
    "load_transcriber": "loading",
    "load_transcriber_async": "loading",
    "load_voice": "voices",
    "speak_stream": "narration",
    "speak_stream_async": "narration",
    "split_sentences": "sentences",
    "synthesize": "narration",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
