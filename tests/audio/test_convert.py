"""Encoding and converting: what can be exact is, what cannot is measured."""

import io
import subprocess
import sys
import wave

import numpy as np
import pytest
import soundfile

from mullama_media.audio import files
from mullama_media.audio.convert import ConvertParams, convert, convert_bytes, convert_many
from mullama_media.audio.decode import SoundReader
from mullama_media.audio.encode import FORMATS, EncodeParams, SoundWriter
from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.frames import AudioFrame

RATE = 48000
LOSSLESS = ("wav", "flac", "aiff", "au", "caf")
LOSSY = ("ogg", "mp3", "opus", "aac", "m4a", "webm")


def tone(seconds=1.0, rate=RATE, hertz=440.0):
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def chirp(seconds=2.0):
    """From 200 Hz to 4 kHz: no two places alike."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * (200 * t + 3800 / (2 * seconds) * t**2))).astype(np.float32)


def signal_to_noise_db(heard, wanted):
    """Of the middle, once both are aligned."""
    middle = len(wanted) // 2
    piece = wanted[middle : middle + 4096]
    near = heard[middle - 4096 : middle + 8192]
    shift = int(np.argmax(np.correlate(near, piece, "valid"))) - 4096
    n = RATE // 2
    reference = wanted[middle - n : middle + n].astype(np.float64)
    got = heard[middle - n + shift : middle + n + shift]
    return 10 * np.log10((reference**2).sum() / ((got - reference) ** 2).sum())


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("sample_format", ["int16", "int24"])
def test_formats_without_loss_give_back_every_sample(kind, sample_format):
    bits = int(sample_format[3:])
    whole = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (5000, 2))
    whole[0] = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    samples = (whole / 2.0 ** (bits - 1)).astype(np.float32)
    data = files.encode(samples, kind, RATE, EncodeParams(sample_format=sample_format))
    with SoundReader(data) as reader:
        assert (reader.sample_rate, reader.channels, reader.frames) == (RATE, 2, 5000)
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(777))), samples)


@pytest.mark.parametrize("kind", LOSSY)
def test_formats_with_loss_sound_the_same(kind, tmp_path):
    path = tmp_path / f"tone{FORMATS[kind].suffixes[0]}"
    files.write(path, chirp(), RATE)
    frame = files.read(path)
    assert frame.sample_rate == RATE
    assert abs(frame.samples.size - 2 * RATE) < 0.1 * RATE
    assert signal_to_noise_db(frame.samples, chirp()) > 20
    assert files.is_audio(path.read_bytes()[:16])


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_every_format_becomes_every_other(source, target):
    data = files.encode(np.stack([tone(0.5)] * 2, 1), source, RATE)
    made = convert_bytes(data, target, ConvertParams(sample_rate=16000, channels=1))
    frame = files.read(made)
    assert frame.sample_rate == (48000 if target == "webm" else 16000)
    spectrum = np.abs(np.fft.rfft(frame.samples))
    peak = np.argmax(spectrum) * frame.sample_rate / frame.samples.size
    assert peak == pytest.approx(440, abs=4)


def test_another_program_reads_what_was_written(tmp_path):
    whole = np.random.default_rng(1).integers(-32768, 32768, 3000).astype(np.int16)
    files.write(tmp_path / "x.wav", (whole / 32768).astype(np.float32), 8000)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, 1)
        np.testing.assert_array_equal(np.frombuffer(file.readframes(9999), "<i2"), whole)


def test_from_one_format_without_loss_to_another_changes_no_sample(tmp_path):
    whole = np.random.default_rng(2).integers(-32768, 32768, (70_000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", whole, RATE, subtype="PCM_16")
    done = convert(tmp_path / "a.wav", tmp_path / "b.flac")
    assert (done.frames, done.channels, done.sample_rate) == (70_000, 2, RATE)
    convert(tmp_path / "b.flac", tmp_path / "c.wav")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "c.wav", dtype="int16")[0], whole)


def test_a_stream_resampled_in_blocks_is_the_whole_resampled(tmp_path):
    import soxr

    samples = np.random.default_rng(3).normal(0, 0.1, 200_000).astype(np.float32)
    files.write(tmp_path / "a.wav", samples, 44100, EncodeParams(sample_format="float32"))
    params = ConvertParams(sample_rate=16000, sample_format="float32")
    convert(tmp_path / "a.wav", tmp_path / "b.wav", params)
    got = files.read(tmp_path / "b.wav").samples
    want = soxr.resample(samples, 44100, 16000, quality="HQ")
    assert abs(len(got) - len(want)) <= 1
    n = min(len(got), len(want))
    np.testing.assert_allclose(got[:n], want[:n], atol=1e-6)


def test_channels_fold_spread_and_mix(tmp_path):
    six = np.zeros((4800, 6), np.float32)
    six[:, 2] = 0.5  # centre
    data = files.encode(six, "wav", RATE, EncodeParams(sample_format="float32"))
    params = ConvertParams(sample_format="float32")

    def channels(n):
        with SoundReader(convert_bytes(data, "wav", params.with_channels(n))) as reader:
            return next(reader.blocks())[100]

    np.testing.assert_allclose(channels(1), [0.5 / 6], rtol=1e-5)
    half = 0.5**0.5
    np.testing.assert_allclose(channels(2), [0.5 * half / (1 + 2 * half)] * 2, rtol=1e-5)
    with pytest.raises(InvalidOptionError, match="from 6 channels to 3"):
        channels(3)
    mono = files.encode(tone(0.1), "wav", RATE)
    with SoundReader(convert_bytes(mono, "flac", ConvertParams(channels=2))) as reader:
        block = next(reader.blocks())
        np.testing.assert_array_equal(block[:, 0], block[:, 1])


def test_file_objects_serve_as_source_and_target():
    target = io.BytesIO()
    convert(io.BytesIO(files.encode(tone(), "wav", RATE)), target, ConvertParams(format="flac"))
    assert files.read(target.getvalue()).samples.size == RATE

    class Pipe(io.RawIOBase):  # cannot seek
        def __init__(self, data):
            self.inner = io.BytesIO(data)

        def readable(self):
            return True

        def read(self, n=-1):
            return self.inner.read(n)

    frame = files.read(Pipe(files.encode(tone(), "wav", RATE)))
    np.testing.assert_allclose(frame.samples, tone(), atol=2**-15)


def test_a_bad_file_among_many_fails_alone(tmp_path):
    pairs = []
    for n in range(4):
        path = tmp_path / f"{n}.wav"
        path.write_bytes(files.encode(tone(0.1), "wav", RATE) if n != 2 else b"not sound")
        pairs.append((path, tmp_path / f"{n}.mp3"))
    pairs.append((tmp_path / "none.wav", tmp_path / "none.mp3"))
    seen = []
    done = convert_many(pairs, progress=seen.append, workers=2)
    assert [result.error is None for result in done] == [True, True, False, True, False]
    assert seen == done
    assert done[2].error.where == str(tmp_path / "2.wav")
    assert sorted(p.name for p in tmp_path.glob("*.mp3")) == ["0.mp3", "1.mp3", "3.mp3"]
    assert not list(tmp_path.glob(".*"))
    again = convert_many(pairs[:1])
    assert "exists already" in str(again[0].error)
    assert convert_many(pairs[:1], overwrite=True)[0].error is None


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"before")

    def write_and_fail():
        with SoundWriter(path, RATE, 1) as writer:
            writer.write(tone()[:, None])
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


def test_progress_can_end_a_conversion(tmp_path):
    files.write(tmp_path / "a.wav", tone(5), RATE)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done > RATE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "a.wav", tmp_path / "b.wav", progress=progress)
    assert seen[0] == (65536, 5 * RATE)
    assert not (tmp_path / "b.wav").exists()


@pytest.mark.parametrize(
    ("params", "name", "message"),
    [
        ({}, "x.xyz", "no format is known for the ending '.xyz'"),
        ({"sample_format": "int24"}, "x.mp3", "cannot hold int24"),
        ({"sample_format": "float32"}, "x.flac", "It has int16, int24"),
        ({"bitrate_kbps": 64}, "x.wav", "no bit rate"),
        ({"sample_rate": 44100}, "x.opus", "cannot have 44100 Hz"),
        ({"channels": 3}, "x.mp3", "1 to 2 channels"),
        ({"bitrate_kbps": 1}, "x.mp3", "at least 6"),
    ],
)
def test_what_a_format_cannot_do_is_refused(tmp_path, params, name, message):
    data = files.encode(tone(0.1), "wav", RATE)
    with pytest.raises(InvalidOptionError, match=message):
        convert(data, tmp_path / name, ConvertParams(**params))
    assert not list(tmp_path.iterdir())


def test_a_bit_rate_is_kept():
    loud = np.random.default_rng(4).normal(0, 0.1, RATE * 4).astype(np.float32)
    sizes = [
        len(files.encode(loud, "mp3", RATE, EncodeParams(bitrate_kbps=rate))) for rate in (64, 128)
    ]
    assert sizes[0] == pytest.approx(64_000 * 4 / 8, rel=0.1)
    assert sizes[1] == pytest.approx(128_000 * 4 / 8, rel=0.1)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "opus", "m4a", "webm"])
def test_truncated_and_broken_files_never_do_worse_than_an_error(kind):
    data = files.encode(tone(0.3), kind, RATE)
    rng = np.random.default_rng(5)
    for turn in range(30):
        broken = bytearray(data[: rng.integers(1, len(data))] if turn % 2 else data)
        for place in rng.integers(0, len(broken), turn):
            broken[place] = rng.integers(0, 256)
        try:
            frame = files.read(bytes(broken))
        except MediaError as error:
            assert error.where == "audio"  # noqa: PT017
        else:
            assert isinstance(frame, AudioFrame)


def long_wav(path, hours, rate):
    """Silence (a hole in the file) with a tone in its last second."""
    end = tone(1, rate)
    size = (hours * 3600 - 1) * rate * 2
    header = files.encode(np.zeros(1, np.float32), "wav", rate)[:44]
    whole = size + 2 * rate
    header = header[:4] + (whole + 36).to_bytes(4, "little") + header[8:40]
    with path.open("wb") as file:
        file.write(header + whole.to_bytes(4, "little"))
        file.seek(44 + size)
        file.write((end * 32767).astype("<i2").tobytes())


def test_three_hours_take_no_more_memory_than_three_seconds(tmp_path):
    long_wav(tmp_path / "long.wav", 3, 4000)
    program = f"""
import resource, sys
from mullama_media.audio.convert import ConvertParams, convert
from mullama_media.audio import files
convert(files.encode(__import__("numpy").zeros(24000, "float32"), "wav", 4000),
        {str(tmp_path / "short.flac")!r}, ConvertParams(sample_rate=8000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = convert({str(tmp_path / "long.wav")!r}, {str(tmp_path / "long.flac")!r},
               ConvertParams(sample_rate=8000))
print(done.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    frames, more = map(int, run.stdout.split())
    assert frames == pytest.approx(3 * 3600 * 8000, abs=2)
    unit = 1 if sys.platform == "darwin" else 1024
    assert more * unit < 30e6
    with soundfile.SoundFile(tmp_path / "long.flac") as file:
        file.seek(file.frames - 8000)
        heard = file.read()
    assert np.sqrt((heard**2).mean()) == pytest.approx(0.5**1.5, rel=0.02)
