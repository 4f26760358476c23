"""Whisper itself, on recorded and made speech: the words, and when they were said."""

import numpy as np
import pytest

from mullama_media import hub
from mullama_media.audio import files
from mullama_media.errors import InvalidOptionError, ModelCapabilityError, ModelLoadError
from mullama_media.frames import AudioFrame
from mullama_media.speech import (
    TranscriberParams,
    TranscriptionParams,
    WhisperTranscriber,
    load_transcriber,
)
from tests.conftest import SAMPLES
from tests.speech.sounds import prompt, recorded, say, silence, spoken, without_words
from tests.wer import Tally, edits, words

NAMES = ("vm-opts", "agent-incorrect", "cannot-complete-as-dialed", "conf-usermenu")


@recorded
def test_recorded_speech_is_written_down(whisper):
    tally = Tally()
    for name in NAMES:
        path, text = prompt(name)
        tally.add(text, whisper.transcribe(path).result().text)
    assert tally.words > 50
    assert tally.rate < 0.08


def test_the_samples(whisper):
    heard = whisper.transcribe(SAMPLES / "command.wav").result()
    assert words(heard.text) == ["open", "the", "door"]
    assert words(whisper.transcribe(SAMPLES / "seven.wav").result().text) == ["seven"]
    assert (heard.backend, heard.language, heard.is_final) == ("whisper", "en", True)
    assert -1 < heard.segments[0].average_logprob < 0


@recorded
def test_words_have_the_times_they_were_said_at(whisper):
    """Each word of a recording lies where the same word alone was heard, moved by what was put
    before it; and silence between two copies holds no word.
    """
    path, text = prompt("cannot-complete-as-dialed")
    sound = files.read(path)
    rate = sound.sample_rate
    moved = np.concatenate([silence(3.2, rate), sound.samples, silence(4, rate), sound.samples])
    asked = TranscriptionParams(word_times=True)
    plain = whisper.transcribe(path, asked).result()
    heard = whisper.transcribe(AudioFrame(moved, rate), asked).result()
    assert words(plain.text) == words(text)
    assert words(heard.text) == 2 * words(text)
    assert heard.index_rate == rate
    count = len(plain.words)
    seconds = sound.duration_ms / 1000
    for n, word in enumerate(heard.words):
        before = 3.2 if n < count else 3.2 + seconds + 4
        same = plain.words[n % count]
        assert word.text.strip() == same.text.strip()
        assert word.start_s - before == pytest.approx(same.start_s, abs=0.4)
        assert word.end_s - before == pytest.approx(same.end_s, abs=0.4)
    spoken_s = [(word.start_s, word.end_s) for word in plain.words]
    assert spoken_s == sorted(spoken_s)
    assert all(0 <= a < b <= seconds + 0.01 for a, b in spoken_s)


@recorded
def test_times_agree_with_where_the_sound_is(whisper):
    """Independent of any model: a recording put together from parts, with gaps known."""
    parts = [files.read(prompt(name)[0]) for name in ("activated", "call-waiting")]
    rate = parts[0].sample_rate
    gap = silence(3.0, rate)
    sound = np.concatenate([gap, parts[0].samples, gap, parts[1].samples, gap])
    asked = TranscriptionParams(word_times=True)
    first, *rest = whisper.transcribe(AudioFrame(sound, rate), asked).result().words
    length = parts[0].duration_ms / 1000
    assert words(first.text) == ["activated"]
    assert 2.75 < first.start_s < 3 + length < first.end_s + 0.3
    assert first.end_s < 3 + length + 0.25
    assert rest[0].start_s == pytest.approx(6 + length, abs=0.3)
    assert rest[-1].end_s == pytest.approx(6 + length + parts[1].duration_ms / 1000, abs=0.5)


@pytest.mark.parametrize("kind", ["silence", "white", "melody"])
def test_nothing_is_made_of_nothing(whisper, kind):
    heard = whisper.transcribe(AudioFrame(without_words(kind), 16_000)).result()
    assert (heard.text, heard.quiet) == ("", "no speech")


@recorded
def test_noise_around_speech_adds_no_words(whisper):
    path, text = prompt("agent-incorrect")
    sound = files.read(path)
    noise = without_words("pink", 12.0)[: 4 * sound.sample_rate] * 0.2
    joined = np.concatenate([noise, sound.samples, noise])
    heard = whisper.transcribe(AudioFrame(joined, sound.sample_rate)).result()
    assert edits(words(text), words(heard.text)) <= 1


@spoken
def test_hot_words_and_prompts_are_heard(whisper):
    sound = say("Mullama listens to Ogdonwizz.")
    assert "Mullama" not in whisper.transcribe(sound).result().text
    asked = TranscriptionParams(hot_words=("Mullama", "Ogdonwizz"))
    assert "Mullama" in whisper.transcribe(sound, asked).result().text
    prompted = TranscriptionParams(prompt="Mullama and Ogdonwizz are programs.")
    assert "Mullama" in whisper.transcribe(sound, prompted).result().text


def test_limits_on_tokens_hold(whisper):
    asked = TranscriptionParams(max_tokens=3, temperatures=(0.0,), beam_size=1)
    heard = words(whisper.transcribe(SAMPLES / "command.wav", asked).result().text)
    assert heard in (["open"], ["open", "the"])


def test_a_model_of_english_refuses_what_it_cannot(whisper):
    with pytest.raises(ModelCapabilityError, match="'de'") as caught:
        whisper.transcribe(SAMPLES / "seven.wav", TranscriptionParams(language="de"))
    assert "whisper:base" in caught.value.hint
    with pytest.raises(ModelCapabilityError, match="translates nothing"):
        whisper.transcribe(SAMPLES / "seven.wav", TranscriptionParams(task="translate"))
    with pytest.raises(InvalidOptionError, match="no such option"):
        whisper.transcribe(SAMPLES / "seven.wav", TranscriptionParams(instruction="Sing."))


@spoken
def test_a_model_of_many_languages_hears_which_and_translates(multilingual):
    sound = say("Buenos días, hoy hace muy buen tiempo.", "es")
    heard = multilingual.transcribe(sound).result()
    assert heard.language == "es"
    assert 0.5 < heard.language_probability <= 1
    assert edits(words("Buenos días, hoy hace muy buen tiempo."), words(heard.text)) <= 1
    asked = TranscriptionParams(language="es", task="translate")
    assert "today" in words(multilingual.transcribe(sound, asked).result().text)
    with pytest.raises(ModelCapabilityError, match="'xx'"):
        multilingual.transcribe(sound, TranscriptionParams(language="xx"))


def test_folders_that_are_no_model_are_refused(tmp_path):
    def load(**options):
        return load_transcriber(TranscriberParams(**options))

    with pytest.raises(ModelLoadError, match=r"no config\.json, model\.bin, tokenizer\.json"):
        load(model=str(tmp_path))
    good = hub.resolve_folder("whisper:tiny.en")
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    (tmp_path / "model.bin").write_bytes((good / "model.bin").read_bytes()[:100_000])
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load(model=str(tmp_path))
    with pytest.raises(ModelLoadError, match="no such folder"):
        load(model=str(tmp_path / "nothing"))
    with pytest.raises(InvalidOptionError, match="'int3' cannot be used on cpu") as caught:
        load(compute_type="int3", device="cpu")
    assert "int8" in caught.value.hint
    with pytest.raises(InvalidOptionError, match="no such option"):
        load(mmproj="tiny-omni")


def test_a_path_and_other_numbers_give_the_same_words():
    folder = hub.resolve_folder("whisper:tiny.en")
    params = TranscriberParams(model=str(folder), compute_type="float32", threads=1)
    with WhisperTranscriber.load(params) as transcriber:
        heard = transcriber.transcribe(SAMPLES / "command.wav").result()
    assert words(heard.text) == ["open", "the", "door"]
