"""Sound files: what is read is what was written."""

import numpy as np
import pytest
import soundfile

from mullama_media.audio import files
from mullama_media.errors import MediaError


@pytest.fixture
def tone():
    t = np.arange(16000) / 16000
    return (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "FLOAT", 0),
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("flac", "PCM_16", 2**-15),
        ("aiff", "PCM_16", 2**-15),
        ("ogg", "VORBIS", 0.05),
        ("mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_formats_decode_to_what_was_written(tmp_path, tone, suffix, subtype, tolerance):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone, 16000, subtype=subtype)
    for source in (path, str(path), path.read_bytes()):
        frame = files.read(source)
        assert frame.sample_rate == 16000
        assert frame.samples.dtype == np.float32
        n = min(len(tone), frame.samples.size)
        assert n > 15000
        assert np.abs(frame.samples[2000 : n - 2000] - tone[2000 : n - 2000]).max() <= tolerance
    assert files.is_audio(path.read_bytes()[:16])


def test_channels_are_folded_by_their_mean(tmp_path, tone):
    soundfile.write(tmp_path / "s.wav", np.stack([tone, -0.5 * tone], 1), 48000, subtype="FLOAT")
    frame = files.read(tmp_path / "s.wav")
    assert frame.sample_rate == 48000
    np.testing.assert_allclose(frame.samples, 0.25 * tone, atol=1e-7)
    assert frame.duration_ms == pytest.approx(16000 / 48)


@pytest.mark.parametrize("content", [b"", b"RIFF\0\0\0\0WAVE", b"ID3 not really", b"hello"])
def test_what_is_not_sound_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        files.read(path)
    assert caught.value.where == str(path)
    with pytest.raises(MediaError):
        files.read(content)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        files.read(tmp_path / "none.wav")


def test_an_empty_recording_is_refused(tmp_path):
    soundfile.write(tmp_path / "e.wav", np.zeros(0, np.float32), 16000)
    with pytest.raises(MediaError, match="shape"):
        files.read(tmp_path / "e.wav")


def test_pictures_are_not_taken_for_sound():
    for head in (
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBPVP8 ",
    ):
        assert not files.is_audio(head)
