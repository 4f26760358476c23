"""Raw samples: every encoding, cut anywhere."""

import numpy as np
import pytest
import soundfile

from mullama_media.audio.pcm import ENCODINGS, PcmDecoder
from mullama_media.errors import InvalidOptionError

SNDFILE = {
    "s16le": ("RAW", "PCM_16", "LITTLE"),
    "s16be": ("RAW", "PCM_16", "BIG"),
    "s24le": ("RAW", "PCM_24", "LITTLE"),
    "s32le": ("RAW", "PCM_32", "LITTLE"),
    "f32le": ("RAW", "FLOAT", "LITTLE"),
    "u8": ("RAW", "PCM_U8", "LITTLE"),
    "mulaw": ("RAW", "ULAW", "LITTLE"),
    "alaw": ("RAW", "ALAW", "LITTLE"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 5, 6, 7, 10_000])
def test_it_decodes_as_libsndfile_does_wherever_it_is_cut(tmp_path, encoding, size):
    format_, subtype, endian = SNDFILE[encoding]
    values = np.random.default_rng(0).uniform(-0.9, 0.9, (600, 2))
    options = {"format": format_, "subtype": subtype, "endian": endian}
    soundfile.write(tmp_path / "raw", values, 8000, **options)
    data = (tmp_path / "raw").read_bytes()
    decoder = PcmDecoder(encoding, 2)
    got = np.concatenate([decoder.decode(data[i : i + size]) for i in range(0, len(data), size)])
    want, _ = soundfile.read(
        tmp_path / "raw", dtype=decoder.dtype, channels=2, samplerate=8000, **options
    )
    np.testing.assert_array_equal(got, want)
    assert decoder.pending_bytes == 0


@pytest.mark.parametrize(("encoding", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_every_code_of_g711(tmp_path, encoding, subtype):
    (tmp_path / "raw").write_bytes(bytes(range(256)))
    options = {"format": "RAW", "subtype": subtype, "channels": 1, "samplerate": 8000}
    want, _ = soundfile.read(tmp_path / "raw", dtype="int16", **options)
    got = PcmDecoder(encoding).decode(bytes(range(256)))
    np.testing.assert_array_equal(got[:, 0], want)


def test_the_rest_of_a_frame_is_waited_for():
    decoder = PcmDecoder("s16le", 2)
    assert decoder.decode(b"\x01\x00\x02").shape == (0, 2)
    assert decoder.pending_bytes == 3
    np.testing.assert_array_equal(decoder.decode(b"\x00"), [[1, 2]])


def test_an_encoding_that_is_not_known_is_refused():
    with pytest.raises(InvalidOptionError, match="s16le"):
        PcmDecoder("s17")
