"""Picture files to picture files."""

import io

import numpy as np
import pytest
from PIL import Image

from mullama_media.errors import InvalidOptionError, MediaError
from mullama_media.vision import decode
from mullama_media.vision.animation import frames
from mullama_media.vision.convert import convert, convert_many
from mullama_media.vision.formats import FORMATS
from mullama_media.vision.params import ConvertParams, DecodeParams, FitParams
from tests.vision.pictures import (
    CORNERS,
    by_ffmpeg,
    difference,
    encoded,
    matrix_profile,
    opened,
    oriented,
    png16,
    smooth,
    srgb_profile,
    stored_for,
)
from tests.vision.test_animation import TIMES, animated
from tests.vision.test_modes import P3

pytest.importorskip("pillow_heif")
LOSSLESS = ("png", "tiff", "bmp", "ppm")


def made(source, kind, **options):
    """The new file, opened by Pillow."""
    target = io.BytesIO()
    convert(source, target, ConvertParams(format=kind, **options))
    return Image.open(io.BytesIO(target.getvalue()))


@pytest.mark.parametrize("source", LOSSLESS)
@pytest.mark.parametrize("target", [*LOSSLESS, "webp"])
def test_without_loss_no_pixel_changes(source, target):
    pixels = smooth(33, 17)
    data = encoded(pixels, FORMATS[source].pillow)
    got = made(data, target, lossless=target == "webp")
    np.testing.assert_array_equal(np.asarray(got), pixels)
    assert got.format == FORMATS[target].pillow


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_every_format_becomes_every_other(source, target):
    decode.learn_heic()
    data = encoded(smooth(48, 32), FORMATS[source].pillow)
    got = made(data, target)
    assert (got.format, got.size) == (FORMATS[target].pillow, (48, 32))
    limit = 14 if "gif" in (source, target) else 4
    assert difference(np.asarray(got.convert("RGB")), smooth(48, 32)).mean() < limit


def test_ffmpeg_reads_what_was_written():
    for kind, limit in (("jpeg", 3), ("webp", 3), ("png", 0), ("bmp", 0)):
        out = io.BytesIO()
        convert(encoded(smooth(64, 48), "PNG"), out, ConvertParams(format=kind))
        assert difference(by_ffmpeg(out.getvalue())[0], smooth(64, 48)).mean() <= limit


def test_quality_is_heard():
    data = encoded(smooth(200, 200), "PNG")
    for kind in ("jpeg", "webp", "avif", "heic"):
        sizes = []
        for quality in (10, 95):
            out = io.BytesIO()
            convert(data, out, ConvertParams(format=kind, quality=quality))
            sizes.append(len(out.getvalue()))
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright_and_the_tag_is_gone(orientation):
    exif = oriented(orientation)
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({0x9003: "2026:11:23 10:00:00", 0xA002: 30, 0xA003: 40})
    data = encoded(stored_for(orientation, CORNERS), "PNG", exif=exif)
    for kind in ("png", "jpeg", "webp", "tiff"):
        got = made(data, kind)
        assert got.size == (40, 30)
        assert difference(np.asarray(got.convert("RGB"))[3, 3], (255, 0, 0)).max() < 12
        kept = got.getexif()
        assert kept.get(0x0112, 1) == 1
        assert kept[0x010F] == "Maker"
        inner = kept.get_ifd(0x8769)
        assert (inner[0x9003], inner[0xA002], inner[0xA003]) == ("2026:11:23 10:00:00", 40, 30)
        assert not made(data, kind, metadata="strip").getexif().get(0x010F)


def test_the_layout_of_a_tiff_is_not_metadata():
    data = encoded(CORNERS, "TIFF", tiffinfo={270: "A picture"})
    kept = made(data, "jpeg").getexif()
    assert dict(kept) == {270: "A picture"}


def test_xmp_stays_and_says_nothing_of_orientation():
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="M" tiff:Orientation="6"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    data = encoded(stored_for(6, smooth(40, 30)), "JPEG", xmp=packet, exif=oriented(6))
    for kind in ("jpeg", "webp", "avif", "heic"):
        got = made(data, kind)
        assert got.size == (40, 30)
        assert b'tiff:Make="M"' in got.info["xmp"]
        assert b"Orientation" not in got.info["xmp"]
        assert "xmp" not in made(data, kind, metadata="strip").info


def test_a_profile_goes_with_its_pixels_or_is_applied():
    profile, _ = matrix_profile(*P3, 2.2)
    pixels = smooth(20, 20)
    data = encoded(pixels, "PNG", icc_profile=profile, dpi=(300, 300))
    kept = made(data, "tiff")
    np.testing.assert_array_equal(np.asarray(kept), pixels)
    assert kept.info["icc_profile"] == profile
    assert round(kept.info["dpi"][0]) == 300
    seen = decode.read(data).pixels
    for got in (made(data, "bmp"), made(data, "png", metadata="strip")):
        assert "icc_profile" not in got.info
        np.testing.assert_array_equal(np.asarray(got), seen)
    np.testing.assert_array_equal(
        decode.read(encoded(kept, "PNG", icc_profile=profile)).pixels, seen
    )


def test_a_profile_for_other_channels_is_not_passed_on():
    grey = encoded(Image.fromarray(smooth(9, 9)[..., 0]), "PNG", icc_profile=srgb_profile())
    got = made(grey, "png")
    assert (got.mode, got.info.get("icc_profile")) == ("L", None)


def test_grey_stays_grey_and_deep_stays_deep():
    grey = smooth(9, 9)[..., 0]
    for kind in ("png", "tiff", "jpeg", "bmp"):
        assert made(encoded(Image.fromarray(grey), "PNG"), kind).mode == "L"
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7), np.uint16)
    for kind in ("png", "tiff"):
        np.testing.assert_array_equal(np.asarray(made(png16(deep, 0), kind)), deep)
    small = made(png16(deep, 0), "png", fit=FitParams(size=(7, 4), policy="exact"))
    assert (small.mode, small.size) == ("L", (7, 4))
    assert made(png16(deep, 0), "webp").mode == "RGB"


def test_transparency_stays_or_is_laid_on_the_background():
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:, 4:] = (10, 200, 30, 255)
    data = encoded(clear, "PNG")
    for kind in ("png", "tiff", "webp", "gif"):
        got = np.asarray(made(data, kind, lossless=kind == "webp").convert("RGBA"))
        assert (got[:, :4, 3] == 0).all()
        assert difference(got[:, 4:], clear[:, 4:]).max() <= 4
    blue = DecodeParams(background="#0000ff")
    for kind in ("bmp", "ppm"):
        assert np.asarray(made(data, kind, decode=blue))[0, 0].tolist() == [0, 0, 255]
    half = encoded(Image.new("LA", (2, 2), (0, 0)), "PNG")
    assert made(half, "png").mode == "LA"
    assert np.asarray(made(half, "bmp", decode=blue).convert("RGB"))[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("source", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("target", ["gif", "png", "webp", "avif"])
def test_animations_stay_animated(source, target):
    data, pictures = animated(source, **({"lossless": True} if source == "WEBP" else {}))
    out = io.BytesIO()
    done = convert(data, out, ConvertParams(format=target))
    assert done.frames == 4
    found = list(frames(out.getvalue()))
    assert [frame.duration_ms for frame in found] == TIMES
    for frame, picture in zip(found, pictures, strict=True):
        assert difference(frame.image.pixels, picture).mean() <= 5
    still = io.BytesIO()
    assert convert(data, still, ConvertParams(format=target, frames="first")).frames == 1
    assert len(list(frames(still.getvalue()))) == 1


def test_a_transparent_animation_leaves_nothing_behind():
    pictures = [Image.new("RGBA", (16, 16)) for _ in range(3)]
    for n, picture in enumerate(pictures):
        picture.paste((255, 0, 0, 255), (5 * n, 0, 5 * n + 5, 16))
    options = {"save_all": True, "append_images": pictures[1:], "duration": 50}
    data = encoded(pictures[0], "PNG", **options)
    for kind in ("gif", "webp", "png"):
        out = io.BytesIO()
        convert(data, out, ConvertParams(format=kind))
        for frame, picture in zip(frames(out.getvalue()), pictures, strict=True):
            want = decode.from_pil(picture).pixels
            assert difference(frame.image.pixels, want).mean() < 6


def test_pages_stay_pages():
    pages = [Image.fromarray(smooth(20, 10, n)) for n in range(3)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    out = io.BytesIO()
    convert(data, out, ConvertParams(format="tiff", fit=FitParams(size=10)))
    assert [frame.image.pixels.shape for frame in frames(out.getvalue())] == [(5, 10, 3)] * 3
    assert made(data, "jpeg").size == (20, 10)


def test_what_is_there_stays_until_all_is_well(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.jpg"
    source.write_bytes(encoded(CORNERS, "PNG"))
    target.write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists already"):
        convert(source, target)
    source.write_bytes(encoded(smooth(40, 30), "PNG")[:900])
    with pytest.raises(MediaError, match=r"a\.png: it cannot be decoded"):
        convert(source, target, overwrite=True)
    assert target.read_bytes() == b"mine"
    source.write_bytes(encoded(CORNERS, "PNG"))
    done = convert(source, target, overwrite=True)
    assert (done.width, done.height, done.frames) == (40, 30, 1)
    convert(target, target, ConvertParams(fit=FitParams(size=20)), overwrite=True)
    assert opened(target).size == (20, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.jpg"]
    with pytest.raises(MediaError, match="cannot be written: No such file"):
        convert(source, tmp_path / "none" / "b.png")


def test_an_encoder_that_fails_leaves_no_file(tmp_path):
    wide = encoded(np.zeros((1, 20_000, 3), np.uint8), "PNG")
    with pytest.raises(MediaError, match=r"b\.webp: cannot be written"):
        convert(wide, tmp_path / "b.webp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("b.xyz", {}, "no format of pictures is known for the ending '.xyz'"),
        ("b.png", {"quality": 50}, "PNG loses nothing"),
        ("b.jpg", {"lossless": True}, "with loss"),
    ],
)
def test_what_a_format_cannot_do(tmp_path, name, options, why):
    with pytest.raises(InvalidOptionError, match=why):
        convert(encoded(CORNERS, "PNG"), tmp_path / name, ConvertParams(**options))


def test_many_at_once_and_one_bad(tmp_path):
    pairs = []
    for n in range(12):
        (tmp_path / f"{n}.png").write_bytes(encoded(smooth(20, 20, n), "PNG"))
        pairs.append((tmp_path / f"{n}.png", tmp_path / f"{n}.bmp"))
    (tmp_path / "5.png").write_bytes(b"")
    seen = []
    done = convert_many(pairs, workers=3, progress=seen.append)
    assert seen == done
    assert [result.target for result in done] == [str(target) for _, target in pairs]
    assert [n for n, result in enumerate(done) if result.error] == [5]
    assert "5.png" in str(done[5].error)
    for n in (0, 11):
        np.testing.assert_array_equal(np.asarray(opened(pairs[n][1])), smooth(20, 20, n))
