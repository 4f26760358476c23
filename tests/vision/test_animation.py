"""Frames with their times."""

import io

import numpy as np
import pytest
from PIL import Image

from mullama_media.errors import MediaError
from mullama_media.vision.animation import frames
from mullama_media.vision.params import DecodeParams, FitParams, PictureParams
from tests.vision.pictures import by_ffmpeg, difference, encoded, smooth

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
TIMES = [100, 250, 40, 500]


def animated(kind, times=TIMES, **options):
    """A square that moves, so that every frame differs in a part."""
    pictures = []
    for n, colour in enumerate(COLOURS):
        array = np.full((24, 32, 3), 200, np.uint8)
        array[4:12, 6 * n : 6 * n + 8] = colour
        pictures.append(Image.fromarray(array))
    data = encoded(
        pictures[0], kind, save_all=True, append_images=pictures[1:], duration=times, **options
    )
    return data, [np.asarray(picture) for picture in pictures]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"quality": 95})],
)
def test_every_frame_is_whole_and_has_its_time(kind, options):
    data, pictures = animated(kind, **options)
    found = list(frames(data))
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    assert [frame.duration_ms for frame in found] == TIMES
    assert [frame.at_ms for frame in found] == [0, 100, 350, 390]
    for frame, picture in zip(found, pictures, strict=True):
        off = difference(frame.image.pixels, picture)
        assert off.mean() <= 3 if kind == "AVIF" else off.max() <= 6


def test_ffmpeg_sees_the_same_frames():
    data, _ = animated("GIF")
    for frame, theirs in zip(frames(data), by_ffmpeg(data), strict=True):
        assert difference(frame.image.pixels, theirs).max() <= 1


def test_times_that_no_browser_keeps():
    data, _ = animated("GIF", times=[0, 10, 20, 0])
    assert [frame.duration_ms for frame in frames(data)] == [100, 100, 20, 100]


def test_pages_have_their_own_sizes_and_no_times():
    pages = [Image.fromarray(smooth(20 + 5 * n, 10, n)) for n in range(3)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found = list(frames(data))
    for frame, page in zip(found, pages, strict=True):
        np.testing.assert_array_equal(frame.image.pixels, np.asarray(page))
        assert (frame.at_ms, frame.duration_ms) == (0, 0)
    small = list(frames(data, PictureParams(fit=FitParams(size=10))))
    assert [max(frame.image.pixels.shape) for frame in small] == [10, 10, 10]


def test_a_still_is_one_frame():
    (frame,) = frames(encoded(smooth(9, 9), "JPEG"))
    assert (frame.index, frame.at_ms, frame.duration_ms) == (0, 0, 0)


def test_transparent_frames_show_the_background():
    pictures = [Image.new("RGBA", (8, 8), (255, 0, 0, 0)) for _ in range(2)]
    pictures[1].paste((0, 0, 255, 255), (0, 0, 4, 8))
    data = encoded(pictures[0], "PNG", save_all=True, append_images=pictures[1:], duration=50)
    params = PictureParams(decode=DecodeParams(background="black"))
    first, second = frames(data, params)
    assert (first.image.pixels == 0).all()
    assert second.image.pixels[0, :, 2].tolist() == [255] * 4 + [0] * 4


def test_too_many_and_broken_ones():
    data, _ = animated("GIF")
    with pytest.raises(MediaError, match="it has 4 frames"):
        next(frames(data, PictureParams(decode=DecodeParams(max_frames=3))))
    whole, _ = animated("PNG")
    running = frames(whole[: len(whole) * 2 // 3])
    assert next(running).index == 0
    with pytest.raises(MediaError, match=r"image frame [123]: it cannot be decoded"):
        list(running)


def test_one_frame_is_in_memory_at_a_time():
    data, _ = animated("GIF")
    running = frames(io.BytesIO(data))
    first = next(running)
    kept = first.image.pixels.copy()
    next(running)
    np.testing.assert_array_equal(first.image.pixels, kept)
    running.close()
