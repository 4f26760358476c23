"""Speech as it happens: from a source of samples to utterances, and to what was said in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mullama_media.lazy import lend

if TYPE_CHECKING:
    from mullama_media.speech.job import TranscriptJob
    from mullama_media.speech.live import LiveMetrics, LiveTranscriber
    from mullama_media.speech.loading import load_transcriber, load_transcriber_async
    from mullama_media.speech.mtmd import MtmdTranscriber
    from mullama_media.speech.params import TranscriberParams, TranscriptionParams
    from mullama_media.speech.processor import StreamingAudioProcessor, StreamMetrics
    from mullama_media.speech.transcriber import Transcriber
    from mullama_media.speech.transcript import Segment, Transcript, Word
    from mullama_media.speech.whisper import WhisperTranscriber

__all__ = [
    "LiveMetrics",
    "LiveTranscriber",
    "MtmdTranscriber",
    "Segment",
    "StreamMetrics",
    "StreamingAudioProcessor",
    "Transcriber",
    "TranscriberParams",
    "Transcript",
    "TranscriptJob",
    "TranscriptionParams",
    "WhisperTranscriber",
    "Word",
    "load_transcriber",
    "load_transcriber_async",
]

_HOMES = {
    "LiveMetrics": "live",
    "LiveTranscriber": "live",
    "MtmdTranscriber": "mtmd",
    "Segment": "transcript",
    "StreamMetrics": "processor",
    "StreamingAudioProcessor": "processor",
    "Transcriber": "transcriber",
    "TranscriberParams": "params",
    "TranscriptJob": "job",
    "Transcript": "transcript",
    "TranscriptionParams": "params",
    "WhisperTranscriber": "whisper",
    "Word": "transcript",
    "load_transcriber": "loading",
    "load_transcriber_async": "loading",
}

__getattr__, __dir__ = lend(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()})
