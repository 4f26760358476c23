"""An answer spoken while it is written: what is heard, and what is known of it."""

import asyncio
import threading
import time

import numpy as np
import pytest

from mullama_media.errors import InvalidOptionError, VoiceError
from mullama_media.speech import (
    Narration,
    NarrationParams,
    SentenceParams,
    speak_stream,
    speak_stream_async,
    synthesize,
)
from mullama_media.speech.sentences import split_sentences
from mullama_media.speech.spoken import words_spoken
from mullama_media.testing import ManualClock, RecordingSpeaker, ScriptedVoice

WHOLE = NarrationParams(sentences=SentenceParams(first_clause_chars=0))
TEXT = "aaaa aaaa aaaa. bbbb **bbbb** bbbb! cccc [cccc](http://x.y) cccc?"
WORD = 0.2 * 16_000
TOKENS = [TEXT[at : at + 3] for at in range(0, len(TEXT), 3)]


@pytest.fixture
def clock():
    return ManualClock()


def made(narration):
    """Wait until the voice has done its work."""
    end = time.monotonic() + 10
    while not narration._work.made:
        assert time.monotonic() < end
        time.sleep(0.002)


def told(narration):
    for token in TOKENS:
        assert narration.feed(token)
    narration.finish()
    made(narration)
    return narration


def test_every_sentence_is_spoken_without_a_gap():
    voice, speaker = ScriptedVoice(), RecordingSpeaker()
    spoken = speak_stream(TOKENS, voice, speaker, WHOLE)
    assert voice.texts == ["aaaa aaaa aaaa.", "bbbb bbbb bbbb!", "cccc cccc cccc?"]
    assert spoken.complete
    assert (spoken.text, spoken.sentences, spoken.words) == (TEXT, 3, 0)
    assert spoken.played.handed == 9 * WORD
    whole = np.concatenate(
        [chunk.mono() for text in voice.texts[:3] for chunk in voice.speak(text)]
    )
    sound = speaker.recording
    begin = np.flatnonzero(sound)[0] - 1  # a sine begins with 0
    np.testing.assert_array_equal(sound[begin : begin + len(whole)], whole)
    assert speaker.meter.underruns == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (0.2, ""),
        (1.1, "aaaa"),
        (2.9, "aaaa aaaa aaaa."),
        (4.0, "aaaa aaaa aaaa. bbbb"),
        (5.1, "aaaa aaaa aaaa. bbbb **bbbb**"),
        (8.2, "aaaa aaaa aaaa. bbbb **bbbb** bbbb! cccc [cccc]("),
    ],
)
def test_a_stop_tells_what_was_heard(clock, words, text):
    with RecordingSpeaker(clock, fade_ms=0) as speaker:
        narration = told(Narration(ScriptedVoice(), speaker, WHOLE))
        clock.advance(200 * words - 10)
        spoken = narration.stop()
        assert spoken.text == text
        assert spoken.sentences * 3 + spoken.words == int(words + 0.5)
        assert not spoken.complete
        assert spoken.played.handed == pytest.approx(words * WORD, abs=160)
        assert narration.wait() == spoken


def test_a_stop_of_the_loudspeaker_ends_it_too(clock):
    with RecordingSpeaker(clock, buffer_ms=500) as speaker:
        narration = Narration(ScriptedVoice(), speaker, WHOLE)
        narration.feed(TEXT)
        until(lambda: speaker.meter.written == 0.5 * 16_000)
        clock.advance(240)
        speaker.stop()
        made(narration)
        assert not narration.feed(" more.")
        spoken = narration.wait()
        assert spoken.text == "aaaa"
        assert not spoken.complete


def test_a_pause_stops_no_count(clock):
    with RecordingSpeaker(clock) as speaker:
        narration = told(Narration(ScriptedVoice(), speaker, WHOLE))
        clock.advance(590)
        speaker.pause()
        clock.advance(3000)
        assert narration.spoken.text == "aaaa aaaa aaaa."
        speaker.resume()
        clock.advance(400)
        assert narration.spoken.text == "aaaa aaaa aaaa. bbbb **bbbb**"
        clock.advance(2000)
        assert narration.spoken.complete
        assert narration.wait().text == TEXT


def test_a_pause_before_speech_and_after_it_is_no_word(clock):
    class Slow(ScriptedVoice):
        def speak(self, text):
            silence = np.zeros(self.sample_rate, np.float32)
            yield from synthesized(silence, super().speak(text), silence)

    def synthesized(before, chunks, after):
        from mullama_media.speech.voices.voice import chunk_of

        sound = np.concatenate([before, *[chunk.mono() for chunk in chunks], after])
        yield chunk_of(sound, 0, 16_000)

    with RecordingSpeaker(clock) as speaker:
        narration = told(Narration(Slow(), speaker, WHOLE))
        clock.advance(990)
        assert narration.spoken.words == 0
        clock.advance(200)  # of three words, 0.2 s each
        assert narration.spoken.words == 1
        clock.advance(420)
        assert narration.spoken.sentences == 1
        speaker.stop()


def test_the_next_sentence_is_made_while_one_plays(clock):
    voice = ScriptedVoice()
    with RecordingSpeaker(clock, buffer_ms=700) as speaker:
        narration = Narration(voice, speaker, WHOLE)
        narration.feed(TEXT + " dddd dddd dddd. eeee eeee eeee.")
        until(lambda: len(voice.texts) == 2)
        time.sleep(0.05)
        assert len(voice.texts) == 2  # 0.7 s wait to be played: the second sentence does not fit
        clock.advance(600)
        until(lambda: len(voice.texts) == 3)
        assert narration.spoken.sentences == 1
        narration.stop()


def test_a_writer_waits_for_the_voice(clock):
    with RecordingSpeaker(clock, buffer_ms=300) as speaker:
        narration = Narration(ScriptedVoice(), speaker, WHOLE.with_max_pieces(2))
        fed = []

        def write():
            fed.extend(narration.feed(f"Sentence {i}. ") for i in range(8))

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.2)
        assert writer.is_alive()
        narration.stop()
        writer.join(5)
        assert fed[0] is True
        assert fed[-1] is False


def until(there):
    end = time.monotonic() + 10
    while not there():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize("kind", [VoiceError, RuntimeError])
def test_a_voice_that_fails_tells_who_writes(kind):
    voice = ScriptedVoice(fails_on="bbbb", error=kind("it is hoarse"))
    with pytest.raises(kind, match="hoarse"):
        speak_stream([*TOKENS, *["More of it. "] * 1000], voice, RecordingSpeaker(), WHOLE)
    assert voice.texts == ["aaaa aaaa aaaa.", "bbbb bbbb bbbb!"]


def test_silence_between_sentences_is_as_wished():
    speaker = RecordingSpeaker()
    spoken = speak_stream(["Aa. Bb. Cc."], ScriptedVoice(), speaker, WHOLE.with_gap_ms(100.0))
    assert spoken.played.handed == 3 * WORD + 2 * 1600
    assert spoken.complete


def test_asyncio_speaks_and_a_cancelled_task_is_silent(clock):
    async def tokens(texts, forever=False):
        for text in texts:
            yield text
        while forever:
            await asyncio.sleep(0.001)

    async def main():
        whole = await speak_stream_async(tokens(TOKENS), ScriptedVoice(), RecordingSpeaker(), WHOLE)
        assert whole.complete
        assert whole.text == TEXT
        with RecordingSpeaker(clock) as speaker:
            speaking = speak_stream_async(tokens(TOKENS, True), ScriptedVoice(), speaker, WHOLE)
            task = asyncio.create_task(speaking)
            while speaker.meter.written < 6 * WORD:
                await asyncio.sleep(0.001)
            clock.advance(100)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            clock.advance(1000)
            assert speaker.meter.played < 0.2 * 16_000
            assert speaker.meter.backlog == 0

    asyncio.run(main())


def test_nothing_to_say_is_complete():
    voice = ScriptedVoice()
    spoken = speak_stream(["```\ncode\n```\n", "---\n"], voice, RecordingSpeaker())
    assert voice.texts == []
    assert spoken.complete
    assert spoken.played.written == 0


def test_what_was_finished_takes_no_more():
    with Narration(ScriptedVoice(), RecordingSpeaker()) as narration:
        narration.wait()
        with pytest.raises(InvalidOptionError, match="finished"):
            narration.feed("more")


def test_sound_without_a_loudspeaker():
    chunks = list(synthesize(TOKENS, ScriptedVoice()))
    assert sum(len(chunk.samples) for chunk in chunks) == 9 * WORD
    assert [chunk.at_sample for chunk in chunks] == list(range(0, int(9 * WORD), 800))


def test_longer_words_take_longer():
    (piece,) = split_sentences("I extraordinarily agree", WHOLE.sentences)
    shares = [words_spoken(piece, share) for share in (0, 0.02, 0.1, 0.35, 0.45, 0.8, 0.9, 1)]
    assert shares == [0, 0, 1, 1, 2, 2, 3, 3]
