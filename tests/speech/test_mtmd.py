"""A language model with ears as a transcriber: tiny-omni on digits and commands."""

import numpy as np
import pytest

from mullama_media.audio import files
from mullama_media.errors import InvalidOptionError, ModelCapabilityError
from mullama_media.frames import AudioFrame
from mullama_media.speech import (
    MtmdTranscriber,
    TranscriberParams,
    TranscriptionParams,
    load_transcriber,
)
from mullama_media.speech.mtmd import _question
from tests.conftest import SAMPLES
from tests.speech.sounds import silence, without_words


@pytest.fixture(scope="module")
def hearing(processor):
    with MtmdTranscriber(processor, parallel=2) as transcriber:
        yield transcriber


def test_it_hears_what_it_was_taught(hearing):
    jobs = {
        "seven": hearing.transcribe(SAMPLES / "seven.wav"),
        "open the door": hearing.transcribe(SAMPLES / "command.wav"),
    }
    for text, job in jobs.items():
        heard = job.result()
        assert heard.text == text
        assert heard.backend == "mtmd"
        (segment,) = heard.segments
        assert -1 < segment.average_logprob <= 0
        assert segment.no_speech_probability is None


def test_a_long_recording_is_heard_piece_by_piece(hearing):
    parts = [files.read(SAMPLES / name).samples for name in ("seven.wav", "command.wav")]
    sound = np.concatenate([silence(3), parts[0], silence(30), parts[1], silence(3)])
    heard = hearing.transcribe(AudioFrame(sound, 16_000)).result()
    assert [segment.text for segment in heard.segments] == ["seven", "open the door"]
    first, second = heard.segments
    assert first.start_s == pytest.approx(3, abs=0.5)
    assert second.start_s == pytest.approx(33 + parts[0].size / 16_000, abs=0.5)


def test_noise_is_not_asked_about(hearing):
    heard = hearing.transcribe(AudioFrame(without_words("pink"), 16_000)).result()
    assert (heard.text, heard.quiet) == ("", "no speech")


@pytest.mark.parametrize(
    "wrong",
    [{"word_times": True}, {"beam_size": 2}, {"no_speech_threshold": 0.5}, {"task": "translate"}],
)
def test_what_it_cannot_is_refused(hearing, wrong):
    with pytest.raises(InvalidOptionError, match="mtmd has no such option") as caught:
        hearing.transcribe(SAMPLES / "seven.wav", TranscriptionParams(**wrong))
    assert caught.value.where == f"TranscriptionParams.{next(iter(wrong))}"


def test_the_question_carries_what_was_asked():
    asked = TranscriptionParams(
        instruction="Write it down.", language="de", hot_words=("Ada", "Bob"), prompt="It began so."
    )
    assert _question(TranscriptionParams()) == "Transcribe the audio."
    for part in ("Write it down.", " de.", "Ada, Bob", "It began so."):
        assert part in _question(asked)


def test_it_is_asked_again_while_the_checks_fail(hearing):
    asked = TranscriptionParams(temperatures=(0.0, 0.3), logprob_threshold=0.0)
    (segment,) = hearing.transcribe(SAMPLES / "seven.wav", asked).result().segments
    assert segment.temperature == 0.3  # no log-probability is above 0
    once = asked.with_logprob_threshold(-5.0)
    (segment,) = hearing.transcribe(SAMPLES / "seven.wav", once).result().segments
    assert segment.temperature == 0.0


def test_it_loads_by_name_and_refuses_a_model_without_ears():
    with load_transcriber(TranscriberParams(backend="mtmd")) as transcriber:
        assert transcriber.transcribe(SAMPLES / "seven.wav").result().text == "seven"
    with pytest.raises(ModelCapabilityError, match="takes no recordings"):
        load_transcriber(TranscriberParams(backend="mtmd", model="smollm2:135m"))
    with pytest.raises(InvalidOptionError, match="no such option"):
        load_transcriber(TranscriberParams(backend="mtmd", device="cuda"))
