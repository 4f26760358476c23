"""Sizes: what is asked for, by the filter's own definition."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import Image
from mullama_media.vision import decode
from mullama_media.vision.fit import draft, fit, plan
from mullama_media.vision.load import load
from mullama_media.vision.params import FILTERS, FitParams, PictureParams
from tests.vision.pictures import difference, encoded, oriented, smooth, stored_for


@pytest.mark.parametrize(
    ("size", "params", "want"),
    [
        ((4000, 3000), FitParams(size=768), (768, 576)),
        ((3000, 4000), FitParams(size="768"), (576, 768)),
        ((4000, 3000), FitParams(size="300x500"), (300, 225)),
        ((100, 50), FitParams(size=768), (100, 50)),
        ((100, 50), FitParams(size=768, enlarge=True), (768, 384)),
        ((20_000, 10), FitParams(size=768), (768, 1)),
        ((100, 50), FitParams(size=(30, 40), policy="exact"), (30, 40)),
        ((100, 50), FitParams(size=(30, 40), policy="cover"), (30, 40)),
        ((100, 50), FitParams(size=(30, 40), policy="pad"), (30, 40)),
        ((1, 1), FitParams(size=9, policy="cover"), (9, 9)),
        ((100, 50), FitParams(), (100, 50)),
    ],
)
def test_sizes(size, params, want):
    assert plan(size, params).canvas == want
    image = Image(np.zeros((size[1], size[0], 3), np.uint8))
    made = fit(image, params)
    assert made.pixels.shape == (want[1], want[0], 3)
    assert (made is image) == (size == want)
    assert fit(made, params) is made


def test_box_is_the_mean_of_what_becomes_one():
    pixels = smooth(60, 40)
    made = fit(Image(pixels), FitParams(size=(15, 10), policy="exact", filter="box"))
    means = pixels.reshape(10, 4, 15, 4, 3).mean((1, 3))
    assert np.abs(made.pixels - means).max() <= 1  # rounded once for each axis


def lanczos(values, n):
    """Along the last axis, as ImageMagick, Pillow and the books have it: 3 lobes, stretched."""
    length = values.shape[-1]
    scale = length / n
    centres = (np.arange(n) + 0.5) * scale
    x = (np.arange(length) + 0.5 - centres[:, None]) / scale
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return values @ (weights / weights.sum(1, keepdims=True)).T


def test_lanczos_is_its_formula():
    pixels = smooth(61, 47, 3)
    made = fit(Image(pixels), FitParams(size=(20, 16), policy="exact"))
    wide = lanczos(pixels.astype(float).transpose(2, 0, 1), 20)
    want = lanczos(wide.transpose(0, 2, 1), 16).transpose(2, 1, 0)
    assert np.abs(made.pixels - np.clip(want, 0, 255)).max() <= 1


def test_cover_takes_the_middle():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    made = fit(Image(pixels), FitParams(size=(10, 10), policy="cover"))
    assert (made.pixels == 200).all()


def test_pad_has_bars():
    pixels = np.full((10, 30, 3), 50, np.uint8)
    params = FitParams(size=(30, 20), policy="pad", pad_color="#ff0000")
    made = fit(Image(pixels), params).pixels
    assert (made[5:15] == 50).all()
    assert (made[:5] == (255, 0, 0)).all()
    assert (made[15:] == (255, 0, 0)).all()


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_keeps_a_plain_picture_plain(name):
    made = fit(Image(np.full((50, 50, 3), 77, np.uint8)), FitParams(size=9, filter=name))
    assert (made.pixels == 77).all()


@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize("policy", ["within", "cover", "pad", "exact"])
@pytest.mark.parametrize("size", [(100, 70), (60, 100)])
def test_a_jpeg_decoded_smaller_looks_the_same(size, policy, orientation):
    shown = smooth(1203, 901)
    stored = stored_for(orientation, shown)
    data = encoded(stored, "JPEG", quality=95, exif=oriented(orientation))
    params = FitParams(size=size, policy=policy)
    made = decode.read(data, PictureParams(fit=params))
    want = fit(Image(shown), params)
    assert made.pixels.shape == want.pixels.shape
    assert difference(made.pixels, want.pixels).max() <= 8
    assert difference(made.pixels, want.pixels).mean() <= 1.5


@pytest.mark.parametrize(("size", "decoded"), [((400, 20), (800, 600)), ((60, 60), (200, 150))])
def test_no_side_is_decoded_at_less_than_twice_what_it_becomes(size, decoded):
    picture = Pillow.open(io.BytesIO(encoded(smooth(1600, 1200), "JPEG")))
    full = draft(picture, FitParams(size=size, policy="exact"), turned=False)
    assert (full, picture.size) == ((1600, 1200), decoded)


def test_a_jpeg_that_is_to_be_small_is_never_unpacked_whole(monkeypatch):
    data = encoded(smooth(1600, 1200), "JPEG")
    sizes = []
    convert = Pillow.Image.convert

    def seen(self, *args, **options):
        sizes.append(self.size)
        return convert(self, *args, **options)

    monkeypatch.setattr(Pillow.Image, "convert", seen)
    decode.read(data, PictureParams(fit=FitParams(size=100)))
    assert max(sizes) == (200, 150)


@pytest.mark.parametrize("size", ["0", "12x", "x", "9x99999", (1, 2, 3), (0, 5), True, 2.5])
def test_a_size_is_checked(size):
    with pytest.raises(InvalidOptionError, match=r"FitParams\.size"):
        FitParams(size=size)


def test_every_way_in_is_made_to_fit(tmp_path):
    pixels = smooth(64, 32)
    (tmp_path / "a.png").write_bytes(encoded(pixels, "PNG"))
    params = PictureParams(fit=FitParams(size=16))
    path = tmp_path / "a.png"
    data = path.read_bytes()
    want = fit(Image(pixels), params.fit).pixels
    with path.open("rb") as file:
        files = [path, str(path), data, bytearray(data), file]
        for way in (*files, Image(pixels), pixels, Pillow.open(path)):
            np.testing.assert_array_equal(load(way, params).pixels, want)


def test_arrays_of_grey_and_alpha():
    grey = np.array([[7, 9]], np.uint8)
    for array in (grey, grey[..., None]):
        assert load(array).pixels.tolist() == [[[7] * 3, [9] * 3]]
    clear = np.random.default_rng(0).integers(0, 256, (9, 9, 4), np.uint8)
    np.testing.assert_array_equal(
        load(clear).pixels, decode.from_pil(Pillow.fromarray(clear)).pixels
    )
