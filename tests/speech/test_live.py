"""Interim and final transcripts of a stream, from a script and from Whisper."""

import asyncio
import itertools
import threading
import time

import numpy as np
import pytest

from mullama_media.audio import files
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.errors import MediaError
from mullama_media.frames import AudioFormat, SpeechStarted, Utterance
from mullama_media.speech import LiveTranscriber, StreamingAudioProcessor, TranscriptionParams
from mullama_media.testing import ManualClock, Play, ScriptedSource, ScriptedTranscriber
from mullama_media.testing.scripted import Pause
from tests.audio.signals import talk
from tests.speech.sounds import RATE, prompt, recorded, silence
from tests.wer import edits, words

CONFIG = AudioStreamConfig.preset("raw", segmenter={"partial_ms": 400})
ASKED = TranscriptionParams(
    ear=AudioStreamConfig.preset("transcription", vad={"backends": ["energy"]})
)
TALK = talk(0.5, 2.2, 1.5, 1.0, 0.7)


def ear(samples=TALK, config=CONFIG, clock=None):
    return StreamingAudioProcessor(ScriptedSource([Play(samples)], clock=clock), config)


def growing(*texts):
    return ScriptedTranscriber(texts)


def paced(samples, step_ms=200):
    """The ear hears in real time, as far as a test's patience goes."""
    clock = ManualClock()
    listening = ear(samples, clock=clock)

    def play():
        for _ in range(round(1000 * samples.size / RATE / step_ms) + 2):
            clock.advance(step_ms)
            time.sleep(0.02)

    thread = threading.Thread(target=play)
    return listening, thread


def test_interims_grow_and_the_final_begins_with_what_was_confirmed():
    transcriber = growing("one", "one two", "one, two three", "one too three four", "ONE two three")
    listening, thread = paced(TALK[: round(3.5 * RATE)])
    with LiveTranscriber(listening, transcriber, ASKED) as live:
        thread.start()
        told = list(live)
    thread.join()
    transcriber.close()
    interims = [one for one in told if not one.is_final]
    (final,) = [one for one in told if one.is_final]
    assert told[-1] is final
    assert len(interims) >= 3
    confirmed = [one.confirmed for one in interims]
    assert confirmed[1] == "one"
    for before, after in itertools.pairwise(confirmed):
        assert after.startswith(before)
    assert all(one.text.startswith(one.confirmed) for one in interims)
    assert final.text.startswith(confirmed[-1])
    metrics = live.metrics
    assert (metrics.finals, metrics.interims, metrics.waiting) == (1, len(interims), 0)
    assert metrics.lag_ms > 0


def test_every_utterance_gets_one_final_transcript_whatever_is_skipped():
    events = []
    transcriber = growing("words")
    with LiveTranscriber(ear(), transcriber, ASKED, on_event=events.append) as live:
        finals = [one for one in live if one.is_final]
    transcriber.close()
    utterances = [event for event in events if isinstance(event, Utterance)]
    assert [(one.start, one.end) for one in finals] == [(u.start, u.end) for u in utterances]
    assert len(finals) == 2
    assert any(isinstance(event, SpeechStarted) for event in events)


def test_a_slow_transcriber_is_skipped_and_holds_up_nobody():
    transcriber = ScriptedTranscriber(["words"], open_at_once=False)
    events = []
    live = LiveTranscriber(ear(), transcriber, ASKED, on_event=events.append).start()
    deadline = time.monotonic() + 20
    while sum(isinstance(event, Utterance) for event in events) < 2:
        assert time.monotonic() < deadline, "the ear was held up"
        time.sleep(0.01)
    assert transcriber.asked  # the first interim transcript, and it still waits
    assert live.metrics.interims == 0
    transcriber.let_go(100)
    told = list(live)
    assert [one.is_final for one in told] == [True, True]
    assert live.metrics.skipped >= 4
    assert live.metrics.finals == 2
    live.stop()
    transcriber.close()


def test_asyncio_reads_the_same():
    async def main():
        with growing("words") as transcriber:
            live = LiveTranscriber(ear(), transcriber, ASKED)
            return [one.text async for one in live if one.is_final]

    assert asyncio.run(main()) == ["words", "words"]


def test_noise_the_ear_took_for_speech_gives_no_transcript():
    neural = TranscriptionParams()  # made vowels are no speech for it
    with growing("words") as transcriber, LiveTranscriber(ear(), transcriber, neural) as live:
        assert list(live) == []
    assert live.metrics.finals == 0


def test_an_error_of_the_backend_reaches_the_reader():
    with ScriptedTranscriber([MediaError("broken")]) as transcriber:
        live = LiveTranscriber(ear(config=CONFIG), transcriber, ASKED)
        with pytest.raises(MediaError, match="broken"):
            list(live)
        live.stop()


def test_stop_transcribes_what_was_heard_until_then():
    clock = ManualClock()
    source = ScriptedSource([Play(TALK), Pause(60_000)], clock=clock)
    listening = StreamingAudioProcessor(source, CONFIG)
    with growing("words") as transcriber:
        live = LiveTranscriber(listening, transcriber, ASKED).start()
        clock.advance(1500)  # in the middle of the first utterance
        while listening.metrics.samples < 1.4 * RATE:
            time.sleep(0.01)
        live.stop()
        told = list(live)
    assert [one.is_final for one in told].count(True) == 1
    assert told[-1].is_final


@recorded
def test_whisper_confirms_words_while_they_are_spoken(whisper):
    path, text = prompt("agent-incorrect")
    sound = files.read(path)
    samples = np.concatenate([sound.samples, silence(1.0, 8000)])
    # The test's clock stands still while Whisper works; that is no source gone silent.
    patient = {"partial_ms": 1000, "no_audio_ms": 600_000}
    config = AudioStreamConfig.preset("transcription", segmenter=patient)
    clock = ManualClock()
    source = ScriptedSource([Play(samples)], audio_format=AudioFormat(8000), clock=clock)
    listening = StreamingAudioProcessor(source, config)
    live = LiveTranscriber(listening, whisper).start()
    for second in range(round(samples.size / 8000) + 2):
        clock.advance(1000)
        wait = live.metrics.interims + live.metrics.skipped
        for _ in range(200 if 0 < second < 5 else 0):
            if live.metrics.interims + live.metrics.skipped > wait:
                break
            time.sleep(0.01)
    told = list(live)
    interims = [one for one in told if not one.is_final]
    (final,) = [one for one in told if one.is_final]
    assert edits(words(text), words(final.text)) <= 1
    assert interims[-1].confirmed
    assert final.text.startswith(interims[-1].confirmed)
    live.stop()
