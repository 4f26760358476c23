"""Speech as it happens: from a source of samples to utterances."""

from mullama_media.speech.processor import StreamingAudioProcessor, StreamMetrics

__all__ = ["StreamMetrics", "StreamingAudioProcessor"]
