"""The scripted transcriber says what its script says, and remembers what it was asked."""

import pytest

from mullama_media.audio import files
from mullama_media.errors import MediaError
from mullama_media.speech import TranscriptionParams
from mullama_media.testing import ScriptedTranscriber
from tests.conftest import SAMPLES

SOUND = files.read(SAMPLES / "command.wav")


def test_replies_come_in_order_and_the_last_again():
    with ScriptedTranscriber(["one", MediaError("broken"), "two"]) as transcriber:
        asked = TranscriptionParams(language="en", hot_words=("Ada",))
        assert transcriber.transcribe(SOUND, asked).result().text == "one"
        with pytest.raises(MediaError, match="broken"):
            transcriber.transcribe(SOUND).result()
        assert [transcriber.transcribe(SOUND).result().text for _ in range(2)] == ["two", "two"]
    assert len(transcriber.asked) == 4
    samples, params = transcriber.asked[0]
    assert 0 < samples <= SOUND.samples.size
    assert (params.language, params.hot_words) == ("en", ("Ada",))


def test_replies_wait_until_they_are_let_go():
    with ScriptedTranscriber(["late"], open_at_once=False) as transcriber:
        job = transcriber.transcribe(SOUND)
        assert not job.wait(0.3)
        transcriber.let_go()
        assert job.wait(10)
        assert job.result().text == "late"


def test_the_rate_is_the_one_it_asks_for():
    with ScriptedTranscriber(["words"], sample_rate=8000) as transcriber:
        heard = transcriber.transcribe(SOUND).result()
    assert transcriber.asked[0][0] == pytest.approx(SOUND.samples.size / 2, rel=0.2)
    assert heard.index_rate == SOUND.sample_rate
