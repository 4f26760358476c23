"""Pictures: upright, RGB, and harmless when they are not what they seem."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from mullama_media.errors import MediaError
from mullama_media.vision import decode


@pytest.fixture
def colours():
    array = np.zeros((30, 40, 3), np.uint8)
    array[:15, :20] = (255, 0, 0)
    array[:15, 20:] = (0, 255, 0)
    array[15:, :20] = (0, 0, 255)
    return array


def encoded(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_same_pixels(tmp_path, colours, kind):
    data = encoded(PIL.Image.fromarray(colours), kind)
    path = tmp_path / "picture"
    path.write_bytes(data)
    for source in (path, str(path), data):
        np.testing.assert_array_equal(decode.read(source).pixels, colours)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_close(colours, kind):
    pixels = decode.read(encoded(PIL.Image.fromarray(colours), kind)).pixels
    assert np.abs(pixels.astype(int) - colours).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(colours, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    # What a camera would store so that viewers show `colours`.
    inverse = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](colours)
    stored = PIL.Image.fromarray(np.ascontiguousarray(inverse))
    np.testing.assert_array_equal(decode.read(encoded(stored, "PNG", exif=exif)).pixels, colours)


def test_transparency_is_on_white():
    array = np.zeros((2, 2, 4), np.uint8)
    array[0, 0] = (255, 0, 0, 255)
    array[0, 1] = (0, 0, 0, 128)
    pixels = decode.read(encoded(PIL.Image.fromarray(array), "PNG")).pixels
    assert tuple(pixels[0, 0]) == (255, 0, 0)
    assert tuple(pixels[1, 1]) == (255, 255, 255)
    assert abs(int(pixels[0, 1, 0]) - 127) <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "I;16", "F", "YCbCr"])
def test_other_modes_become_rgb(mode):
    picture = PIL.Image.new(mode, (5, 4))
    image = decode.from_pil(picture)
    assert image.pixels.shape == (4, 5, 3)


def test_sixteen_bits_are_scaled_not_cut():
    picture = PIL.Image.fromarray(np.full((2, 2), 0x80FF, np.uint16))
    assert decode.from_pil(picture).pixels[0, 0, 0] == 0x80


def test_a_truncated_file_is_refused_by_name(tmp_path, colours):
    for kind in ("PNG", "JPEG"):
        path = tmp_path / f"cut.{kind}"
        data = encoded(PIL.Image.fromarray(np.tile(colours, (10, 10, 1))), kind)
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(MediaError, match=r"truncated|decoded") as caught:
            decode.read(path)
        assert caught.value.where == str(path)


def test_a_bomb_is_refused_before_it_is_unpacked():
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    for side in (11_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")
        with pytest.raises(MediaError, match="too large"):
            decode.read(png)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        decode.read(path)
    assert caught.value.where == str(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        decode.read(tmp_path / "none.png")


def test_pillow_images_are_known_without_importing_it():
    assert decode.is_pil(PIL.Image.new("RGB", (1, 1)))
    assert not decode.is_pil(np.zeros((1, 1, 3)))
