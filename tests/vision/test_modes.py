"""Whatever a file holds becomes the 8-bit RGB that its numbers mean."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError
from mullama_media.vision import decode
from mullama_media.vision.params import DecodeParams, FitParams, PictureParams
from tests.vision.pictures import (
    CORNERS,
    by_ffmpeg,
    chunk,
    difference,
    encoded,
    matrix_profile,
    oriented,
    png16,
    smooth,
    srgb_profile,
    stored_for,
)

RNG = np.random.default_rng(0)
ON_BLACK = PictureParams(decode=DecodeParams(background="black"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_in_every_container(kind, orientation):
    options = {} if kind in ("PNG", "TIFF") else {"quality": 95}
    data = encoded(stored_for(orientation, CORNERS), kind, exif=oriented(orientation), **options)
    image = decode.read(data)
    assert image.pixels.shape == CORNERS.shape
    assert difference(image.pixels, CORNERS).mean() < (12 if options else 0.001)
    small = decode.read(data, PictureParams(fit=FitParams(size=(20, 20))))
    assert small.pixels.shape == (15, 20, 3)
    assert difference(small.pixels[3, 3], (255, 0, 0)).max() < 20


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_is_none_changes_nothing(value):
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(decode.read(encoded(CORNERS, "PNG", exif=exif)).pixels, CORNERS)


def test_damaged_exif_does_not_make_a_picture_unreadable():
    data = encoded(CORNERS, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff rubbish")
    np.testing.assert_array_equal(decode.read(data).pixels, CORNERS)


@pytest.mark.parametrize(("kind", "least"), [("JPEG", 36), ("WEBP", 30), ("BMP", 90), ("GIF", 20)])
def test_ffmpeg_sees_the_same(kind, least):
    data = encoded(smooth(64, 48), kind)
    ours, theirs = decode.read(data).pixels, by_ffmpeg(data)[0]
    error = (difference(ours, theirs) ** 2).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-6)) > least


def test_deep_colours_keep_their_high_byte():
    deep = RNG.integers(0, 65536, (5, 7, 4), np.uint16)
    rgb = decode.read(png16(deep[..., :3], 2)).pixels
    np.testing.assert_array_equal(rgb, deep[..., :3] >> 8)
    grey = decode.read(png16(deep[..., 0], 0)).pixels
    np.testing.assert_array_equal(grey, np.stack([deep[..., 0] >> 8] * 3, -1))
    theirs = by_ffmpeg(png16(deep[..., :3], 2))[0]  # which dithers or rounds
    assert difference(rgb, theirs).max() <= 1
    pgm = b"P5 7 5 65535\n" + deep[..., 0].astype(">u2").tobytes()
    np.testing.assert_array_equal(decode.read(pgm).pixels, grey)
    alpha = decode.read(png16(deep, 6), ON_BLACK).pixels
    want = (deep[..., :3] >> 8).astype(float) * (deep[..., 3:] >> 8) / 255
    assert np.abs(alpha - want).max() <= 1


def test_one_transparent_colour_of_a_deep_picture():
    grey = np.array([[0x1234, 0x1235, 0xFFFF]], np.uint16)
    data = png16(grey, 0, chunk(b"tRNS", b"\x12\x34"))
    assert decode.read(data).pixels[0, :, 0].tolist() == [255, 0x12, 255]
    rgb = np.array([[[0x1200, 0x3400, 0x5600], [0, 0, 0]]], np.uint16)
    data = png16(rgb, 2, chunk(b"tRNS", bytes([0x12, 0, 0x34, 0, 0x56, 0])))
    assert decode.read(data).pixels[0].tolist() == [[255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 200.0], [0, 100, 200]),
        ([0.0, 32767.5, 65535.0], [0, 128, 255]),
        ([1e6, 1.5e6, 2e6], [0, 128, 255]),
        ([float("nan"), float("inf"), 1.0], [0, 0, 255]),
        ([-5.0, 0.0, 1.0], [0, 0, 255]),
    ],
)
def test_floats_are_scaled_by_their_range(values, levels):
    picture = Image.fromarray(np.array([values], np.float32))
    for image in (decode.from_pil(picture), decode.read(encoded(picture, "TIFF"))):
        assert difference(image.pixels[0, :, 0], levels).max() <= 1


@pytest.mark.parametrize(
    ("values", "levels"),
    [([0, 100, 255], [0, 100, 255]), ([0, 0x8000, 0xFFFF], [0, 128, 255]),
     ([0, 1 << 30, (1 << 31) - 1], [0, 128, 255]), ([-9, 0, 255], [0, 0, 255])],
)  # fmt: skip
def test_integers_in_memory_are_judged_by_the_largest(values, levels):
    picture = Image.fromarray(np.array([values], np.int32))
    assert decode.from_pil(picture).pixels[0, :, 0].tolist() == levels


def test_cmyk_is_ink_on_white():
    ink = RNG.integers(0, 256, (6, 5, 4), np.uint8)
    want = (255.0 - ink[..., :3]) * (255 - ink[..., 3:]) / 255
    picture = Image.frombytes("CMYK", (5, 6), ink.tobytes())
    for image in (decode.from_pil(picture), decode.read(encoded(picture, "TIFF"))):
        assert np.abs(image.pixels - want).max() <= 1


def test_cmyk_of_adobe_is_inverted():
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8] = (0, 255, 255, 0)  # red
    data = encoded(Image.frombytes("CMYK", (16, 16), ink.tobytes()), "JPEG", quality=100)
    assert b"Adobe" in data[:64]
    pixels = decode.read(data).pixels
    assert difference(pixels[2, 2], (255, 0, 0)).max() < 4
    assert difference(pixels[13, 2], (255, 255, 255)).max() < 4


def test_palettes_and_grey_with_transparency():
    palette = Image.new("P", (3, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.putdata([0, 1, 2])
    data = encoded(palette, "PNG", transparency=bytes([255, 0, 128]))
    got = decode.read(data, ON_BLACK).pixels[0]
    assert difference(got, [(10, 20, 30), (0, 0, 0), (35, 40, 45)]).max() <= 1
    grey = Image.fromarray(np.array([[[200, 255], [200, 0]]], np.uint8), "LA")
    assert decode.read(encoded(grey, "PNG")).pixels[0, :, 0].tolist() == [200, 255]
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert decode.read(encoded(bits, "PNG")).pixels[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("background", "rgb"),
    [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#1020F0", (16, 32, 240)),
     ("#f00", (255, 0, 0)), ("Green", (0, 128, 0))],
)  # fmt: skip
def test_transparency_shows_the_background(background, rgb):
    clear = np.zeros((1, 2, 4), np.uint8)
    clear[0, 1] = (100, 150, 200, 51)  # a fifth
    params = PictureParams(decode=DecodeParams(background=background))
    want = np.rint(0.2 * np.array([100, 150, 200]) + 0.8 * np.array(rgb))
    for source in (encoded(clear, "PNG"), encoded(clear, "WEBP", lossless=True, exact=True)):
        pixels = decode.read(source, params).pixels[0]
        assert tuple(pixels[0]) == rgb
        assert difference(pixels[1], want).max() <= 1


def test_a_colour_is_checked():
    with pytest.raises(InvalidOptionError, match=r"DecodeParams\.background: 'mud' is no colour"):
        DecodeParams(background="mud")


P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


def test_wide_gamut_becomes_srgb():
    profile, to_xyz = matrix_profile(*P3, 2.2)
    pixels = RNG.integers(60, 180, (8, 8, 3), np.uint8)
    xyz = (pixels / 255.0) ** 2.2 @ to_xyz.T
    # To D50 sRGB as in ICC's own profile of it.
    from_xyz = np.linalg.inv(
        np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    )
    linear = np.clip(xyz @ from_xyz.T, 0, 1)
    want = 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    data = encoded(pixels, "PNG", icc_profile=profile)
    assert np.abs(decode.read(data).pixels - want).max() <= 2
    assert difference(decode.read(data).pixels, pixels).max() > 5
    plain = PictureParams(decode=DecodeParams(color_profile=False))
    np.testing.assert_array_equal(decode.read(data, plain).pixels, pixels)


@pytest.mark.parametrize("profile", [srgb_profile(), b"broken", srgb_profile()[:200]])
def test_a_profile_that_says_nothing_new_changes_nothing(profile):
    data = encoded(CORNERS, "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decode.read(data).pixels, CORNERS)


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth(64, 48))).save(out, quality=95)
    assert difference(decode.read(out.getvalue()).pixels, smooth(64, 48)).mean() < 4


def test_heic_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    with pytest.raises(MissingExtraError, match=re.escape("mullama-media[heif]")):
        decode.read(data)


def test_files_of_every_kind(tmp_path):
    data = encoded(CORNERS, "PNG")
    (tmp_path / "a.png").write_bytes(data)
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(decode.read(file).pixels, CORNERS)
        assert file.name in repr(decode.read(tmp_path / "a.png"))
    behind = io.BytesIO(b"header" + data)
    behind.seek(6)
    np.testing.assert_array_equal(decode.read(behind).pixels, CORNERS)

    class Pipe(io.RawIOBase):  # cannot seek
        def __init__(self):
            self.inner = io.BytesIO(data)

        def read(self, n=-1):
            return self.inner.read(n)

    np.testing.assert_array_equal(decode.read(Pipe()).pixels, CORNERS)
    with (
        (tmp_path / "a.png").open(encoding="latin-1") as text,
        pytest.raises(MediaError, match="open for text"),
    ):
        decode.read(text)


def test_limits_are_told(tmp_path):
    data = encoded(CORNERS, "PNG")
    small = PictureParams(decode=DecodeParams(max_bytes=len(data) - 1))
    with pytest.raises(MediaError, match="too large"):
        decode.read(data, small)
    with pytest.raises(MediaError, match="40x30"):
        decode.read(data, PictureParams(decode=DecodeParams(max_pixels=1199)))
    decode.read(data, PictureParams(decode=DecodeParams(max_pixels=1200, max_bytes=len(data))))
    with pytest.raises(MediaError, match="Is a directory"):
        decode.read(tmp_path)
    with pytest.raises(MediaError, match="PostScript"):
        decode.read(b"%!PS-Adobe-3.0 EPSF-3.0\n")


def outcome(source, params=None):
    """None for a picture; where the error says it is."""
    try:
        decode.read(source, params)
    except MediaError as error:
        return error.where
    return None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_a_file_cut_anywhere_is_a_picture_or_a_typed_error(kind, tmp_path):
    data = encoded(smooth(40, 30), kind)
    told = []
    for end in range(1, len(data), max(1, len(data) // 60)):
        (tmp_path / "cut").write_bytes(data[:end])
        told.append(outcome(tmp_path / "cut"))
    assert set(told) <= {None, str(tmp_path / "cut")}
    assert len(told) - told.count(None) > 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_damaged_file_is_a_picture_or_a_typed_error(kind):
    data = np.frombuffer(encoded(smooth(40, 30), kind), np.uint8)
    params = PictureParams(decode=DecodeParams(max_pixels=1_000_000))
    rng = np.random.default_rng(5)
    for _ in range(150):
        bad = data.copy()
        bad[rng.integers(0, min(len(bad), 400), 6)] = rng.integers(0, 256, 6)
        assert outcome(bad.tobytes(), params) in (None, "image")
