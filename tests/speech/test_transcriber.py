"""What every transcriber does: gate, times, checks, jobs; the backend follows a script."""

import asyncio
import threading

import numpy as np
import pytest

from mullama_media.audio import files
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.errors import (
    EngineClosedError,
    InvalidOptionError,
    MediaError,
    RequestCancelledError,
)
from mullama_media.frames import AudioFrame, Utterance
from mullama_media.speech import TranscriptionParams
from mullama_media.speech.transcriber import Heard, compression_ratio
from mullama_media.testing import ScriptedTranscriber
from tests.audio.signals import talk
from tests.conftest import SAMPLES
from tests.speech.sounds import RATE, silence, without_words

ENERGY = TranscriptionParams(
    ear=AudioStreamConfig.preset("transcription", vad={"backends": ["energy"]})
)
TALK = talk(0.5, 1.0, 3.0, 1.5, 0.5)  # vowels, which the energy detector takes for speech
SPEECH = files.read(SAMPLES / "command.wav")


def utterance(samples, start=1000, rate=RATE):
    end = start + samples.size
    return Utterance(samples, rate, start, end, start, end, end, rate, "silence")


@pytest.mark.parametrize("kind", ["silence", "white", "pink", "hum", "clicks", "melody"])
@pytest.mark.parametrize("given", ["recording", "utterance"])
def test_sound_without_words_never_reaches_the_backend(kind, given):
    samples = without_words(kind)
    sound = AudioFrame(samples, RATE) if given == "recording" else utterance(samples)
    with ScriptedTranscriber(["words that nobody said"]) as transcriber:
        heard = transcriber.transcribe(sound).result()
    assert heard.text == ""
    assert heard.quiet in ("no speech", "too quiet")
    assert transcriber.asked == []


def test_speech_does_and_what_surrounds_it_does_not():
    pause = silence(5)
    sound = AudioFrame(np.concatenate([pause, SPEECH.samples, pause]), RATE)
    with ScriptedTranscriber(["open the door"]) as transcriber:
        heard = transcriber.transcribe(sound).result()
        alone = transcriber.transcribe(utterance(SPEECH.samples)).result()
    assert heard.text == alone.text == "open the door"
    (segment,) = heard.segments
    assert 4.5 < segment.start_s < 5.3
    assert segment.end_s < 5 + SPEECH.duration_ms / 1000 + 0.25
    assert (alone.segments[0].start, alone.start, alone.index_rate) == (1000, 1000, RATE)
    assert transcriber.asked[0][0] < SPEECH.samples.size + 1.2 * RATE


def test_what_is_too_quiet_is_silence():
    loud = utterance(SPEECH.samples)
    level = float(20 * np.log10(np.abs(SPEECH.samples).max()))
    for limit, text in ((level - 40, "words"), (min(level, 0), "")):
        with ScriptedTranscriber(["words"]) as transcriber:
            asked = TranscriptionParams(min_level_db=limit)
            assert transcriber.transcribe(loud, asked).result().text == text


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_times_are_those_of_the_source(rate):
    one = Heard(" first", 0.2, 0.7, (("first", 0.25, 0.65, 0.9),))
    two = Heard(" second", 0.3, 99.0)
    sound = AudioFrame(talk(0.5, 1.0, 3.0, 1.5, 0.5, rate=rate), rate)
    with ScriptedTranscriber([[one], [two]]) as transcriber:
        heard = transcriber.transcribe(sound, ENERGY).result()
    assert heard.index_rate == rate
    assert (heard.start, heard.end) == (0, sound.samples.size)
    assert heard.text == "first second"
    first, second = heard.segments
    begin = 0.5 - 0.3  # pre-roll
    assert first.words[0].start_s == pytest.approx(begin + 0.25, abs=0.06)
    assert first.end_s - first.start_s == pytest.approx(0.5, abs=1 / rate)
    assert second.start_s == pytest.approx(4.2 + 0.3, abs=0.06)
    assert second.end <= sound.samples.size  # a backend's own time beyond the sound is cut


def test_files_are_read_piece_by_piece_and_their_segments_come_early(tmp_path):
    path = tmp_path / "talk.flac"
    files.write(path, np.tile(TALK, 3), RATE)
    with ScriptedTranscriber(["one", "two", "three"], open_at_once=False) as transcriber:
        job = transcriber.transcribe(path, ENERGY)
        transcriber.let_go()
        first = next(iter(job))
        assert first.text == "one"
        assert not job.done
        assert 0 < job.seconds < 6.5
        transcriber.let_go(99)
        heard = job.result()
    assert [segment.text for segment in heard.segments][:3] == ["one", "two", "three"]
    assert job.seconds == pytest.approx(3 * 6.5)


def test_the_checks_take_out_what_was_not_said():
    def reply(text, **figures):
        return Heard(text, 0.0, 0.5, **figures)

    silent = {"no_speech_probability": 0.9, "average_logprob": -1.2}
    script = [
        reply("kept", no_speech_probability=0.9, average_logprob=-0.5),
        reply("You", **silent),
        reply("again " * 30, compression_ratio=compression_ratio("again " * 30)),
        reply(" . ."),
        reply("  "),
    ]
    with ScriptedTranscriber([script]) as transcriber:
        heard = transcriber.transcribe(utterance(SPEECH.samples)).result()
        assert heard.text == "kept"
        assert [segment.text[:5] for segment in heard.rejected] == ["You", "again", ". ."]
        asked = TranscriptionParams(no_speech_threshold=0.95, compression_ratio_threshold=99)
        heard = transcriber.transcribe(utterance(SPEECH.samples), asked).result()
        assert heard.text.startswith("kept You again again")


def test_asyncio_awaits_it_and_reads_segments():
    async def main():
        with ScriptedTranscriber(["one", "two"]) as transcriber:
            job = transcriber.transcribe(AudioFrame(TALK, RATE), ENERGY)
            found = [segment.text async for segment in job]
            return found, (await job).text

    assert asyncio.run(main()) == (["one", "two"], "one two")


def test_a_cancelled_task_cancels_its_job():
    async def main(transcriber):
        job = transcriber.transcribe(utterance(SPEECH.samples))
        task = asyncio.ensure_future(job._wait())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return job

    with ScriptedTranscriber(["late"], open_at_once=False) as transcriber:
        job = asyncio.run(main(transcriber))
        transcriber.let_go()
        with pytest.raises(RequestCancelledError):
            job.result()


def test_errors_come_with_the_result_and_spoil_no_other():
    script = [MediaError("the backend's own"), "fine"]
    with ScriptedTranscriber(script) as transcriber:
        broken = transcriber.transcribe(b"not sound at all")
        failed = transcriber.transcribe(utterance(SPEECH.samples))
        fine = transcriber.transcribe(utterance(SPEECH.samples))
        with pytest.raises(MediaError, match="cannot be decoded"):
            broken.result()
        with pytest.raises(MediaError, match="own"):
            list(failed)
        assert fine.result().text == "fine"


def test_closed_is_closed_and_loses_nothing_that_runs():
    transcriber = ScriptedTranscriber(["said"], open_at_once=False)
    job = transcriber.transcribe(utterance(SPEECH.samples))
    threading.Timer(0.1, transcriber.let_go).start()
    transcriber.close()
    assert job.result().text == "said"
    with pytest.raises(EngineClosedError):
        transcriber.transcribe(utterance(SPEECH.samples))


def test_the_ear_is_told_what_to_do():
    noisy = TALK + without_words("white", TALK.size / RATE)[: TALK.size] * 0.1
    samples = AudioFrame(noisy.astype(np.float32), RATE)
    merged = ENERGY.ear.with_segmenter(ENERGY.ear.segmenter.with_silence_ms(4000))
    with ScriptedTranscriber(["words"]) as transcriber:
        apart = transcriber.transcribe(samples, ENERGY).result()
        together = transcriber.transcribe(samples, ENERGY.with_ear(merged)).result()
    assert (len(apart.segments), len(together.segments)) == (2, 1)


def test_wrong_options_are_refused():
    for wrong in (
        {"temperatures": ()},
        {"temperatures": (3.0,)},
        {"task": "sing"},
        {"beam_size": 0},
    ):
        with pytest.raises(InvalidOptionError):
            TranscriptionParams(**wrong)
    with pytest.raises(InvalidOptionError):
        ScriptedTranscriber([])
