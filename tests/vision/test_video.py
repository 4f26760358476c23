"""Videos: the right frames at the right times, whatever the file."""

import itertools
import logging
import struct
import sys
import tracemalloc

import av
import numpy as np
import PIL.Image
import pytest

from mullama_media.audio import files
from mullama_media.errors import (
    InvalidOptionError,
    MediaError,
    MissingExtraError,
    ModelCapabilityError,
)
from mullama_media.vision import container, video
from mullama_media.vision.params import VideoParams
from mullama_media.vision.scenes import SceneMeter
from tests.conftest import SAMPLES
from tests.vision.clips import SIZE, number, tone, write

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


def test_a_bare_stream_counts_its_frames(folder):
    clip = read(write(folder / "bare.h264", STEADY, "libx264"), count=2)
    assert seen(clip) == [25, 75]
    assert clip.times_s == (1.0, 3.0)
    assert clip.duration_s == 4


def test_fps_beyond_the_videos_own_gives_each_frame_once(steady):
    assert seen(read(steady, fps=400, max_frames=1000, end_s=0.2)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["slides.mkv", "slides.mp4", "slides.webm"])
def test_variable_frame_rates_go_by_time_not_by_number(folder, name):
    path = write(folder / name, SLIDES, FORMATS[f"a.{name.split('.')[1]}"])
    clip = read(path, fps=1, end_s=8)
    assert seen(clip) == [0, 1, 2, 3, 4]
    assert clip.times_s == (0.0, 0.4, 2.0, 2.1, 5.25)
    assert seen(read(path, count=3)) == [1, 3, 4]  # at 1.5, 4.5 and 7.5 s
    assert clip.duration_s == pytest.approx(9, abs=0.2)


@pytest.mark.parametrize("gop", [1, 12, 1000])
@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts", "long.avi"])
def test_jumping_gives_the_frames_that_decoding_all_gives(folder, name, gop, monkeypatch):
    codec = "ffv1" if name.endswith("avi") else "libx264"
    path = write(folder / f"{gop}{name}", [n / 25 for n in range(500)], codec, gop=gop)
    asked = {"count": 9}, {"count": 3, "start_s": 11.3}, {"count": 2, "start_s": 19.5}
    jumped = [seen(read(path, **options)) for options in asked]
    monkeypatch.setattr(container, "_JUMP_S", float("inf"))
    assert jumped == [seen(read(path, **options)) for options in asked]
    assert jumped[0] == [27, 83, 138, 194, 250, 305, 361, 416, 472]


def test_few_frames_of_a_long_video_decode_a_part_of_it(folder, monkeypatch):
    path = write(folder / "few.mp4", [n / 25 for n in range(1000)], "libx264")
    decoded = 0
    init = container.VideoFrame.__init__

    def counted(self, *args):
        nonlocal decoded
        decoded += 1
        init(self, *args)

    monkeypatch.setattr(container.VideoFrame, "__init__", counted)
    assert len(read(path, count=8).frames) == 8
    assert decoded < 200


def test_memory_holds_the_frames_that_are_taken(folder):
    size = (640, 480)
    times_s = [n / 25 for n in range(250)]
    path = write(folder / "large.mkv", times_s, "mpeg4", size=size)
    frame_bytes = 3 * size[0] * size[1]
    for options in ({"count": 4}, {"fps": 25, "max_frames": 4}, {"scene": 1e-6, "max_frames": 4}):
        tracemalloc.start()
        clip = read(path, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(clip.frames) == 4
        assert peak < 8 * frame_bytes  # 250 would be all


def test_large_frames_are_reduced_and_small_ones_left(folder):
    path = write(folder / "hd.mkv", [0.0], size=(640, 360))
    assert read(path, max_side=320).frames[0].pixels.shape == (180, 320, 3)
    assert read(path).frames[0].pixels.shape == (360, 640, 3)
    assert number(read(path, max_side=16).frames[0].pixels) == 0


def corners(n=0):
    """Red, green, blue and white, clockwise from the upper left."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    half_h, half_w = SIZE[1] // 2, SIZE[0] // 2
    pixels[:half_h, :half_w, 0] = 255
    pixels[:half_h, half_w:, 1] = 255
    pixels[half_h:, half_w:, 2] = 255
    pixels[half_h:, :half_w] = 255
    return pixels


def clockwise(pixels):
    height, width, _ = pixels.shape
    at = [(1, 1), (1, 3), (3, 3), (3, 1)]
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    quarters = [pixels[height * y // 4, width * x // 4] for y, x in at]
    return "".join(names[tuple(int(c > 127) for c in quarter)] for quarter in quarters)


@pytest.mark.parametrize(
    ("matrix", "expected"),  # a b c d of tkhd: (p, q) goes to (a p + c q, b p + d q)
    [
        ((1, 0, 0, 1), "rgbw"),
        ((0, 1, -1, 0), "wrgb"),  # a phone held upright: a quarter clockwise
        ((-1, 0, 0, -1), "bwrg"),
        ((0, -1, 1, 0), "gbwr"),
        ((-1, 0, 0, 1), "grwb"),  # a mirror
        ((0, 1, 1, 0), "rwbg"),
    ],
)
def test_the_display_matrix_is_applied(folder, matrix, expected):
    path = write(folder / "turned.mp4", [0, 0.04], "libx264", corners)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (65536 * x for x in matrix)
    turned = data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :]
    frame = video.read(turned).frames[0]
    assert clockwise(frame.pixels) == expected
    assert frame.pixels.shape[:2] == (SIZE if matrix[0] == 0 else SIZE[::-1])


def test_pixels_become_square():
    yuv = np.full((3, SIZE[1], SIZE[0]), 128, np.uint8)
    yuv[0, :, : SIZE[0] // 2] = 16
    wide = b"YUV4MPEG2 W64 H48 F25:1 Ip A2:1 C444\nFRAME\n" + yuv.tobytes()
    pixels = video.read(wide).frames[0].pixels
    assert pixels.shape == (SIZE[1], 2 * SIZE[0], 3)
    assert pixels[24, SIZE[0] - 8].max() < 10
    assert pixels[24, SIZE[0] + 8].min() > 120


@pytest.mark.parametrize(("height", "kr", "kb"), [(1080, 0.2126, 0.0722), (480, 0.299, 0.114)])
def test_unmarked_colours_are_those_of_the_size(folder, height, kr, kb):
    path = folder / f"{height}.mkv"
    y, cb, cr = 100, 110, 160
    with av.open(path, "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
        planes = np.stack([np.full((height, 64), value, np.uint8) for value in (y, cb, cr)])
        file.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv444p")))
        file.mux(stream.encode(None))
    luma, blue, red = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    pixel = read(path, max_side=8192).frames[0].pixels[0, 0]
    assert np.abs(pixel - 255 * np.array([r, g, b])).max() < 2


CUTS = {0: (200, 0, 0), 17: (0, 102, 0), 40: (150, 0, 120), 90: (0, 0, 190)}
"""Of the first two luma is the same"""


def moving(n):
    """A striped scene that drifts by a pixel a frame, another after each cut."""
    scene = CUTS[max(cut for cut in CUTS if cut <= n)]
    stripes = (np.arange(SIZE[0]) + n) // 8 % 2 * 60
    pixels = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:] = stripes[None, :, None] + np.array(scene)
    return pixels


@pytest.mark.parametrize("name", ["cuts.mkv", "cuts.mp4"])
def test_scenes_begin_at_the_cuts(folder, name):
    path = write(folder / name, STEADY, FORMATS[f"a.{name[-3:]}"], moving)
    for threshold in (0.1, 0.2):
        clip = read(path, scene=threshold)
        assert clip.times_s == pytest.approx([n / 25 for n in CUTS], abs=1e-6)
    # Every frame differs from the one before by 0.06, but only the second has none to expect it by.
    assert read(path, scene=0.05).times_s == pytest.approx([0, 0.04, 0.68, 1.6, 3.6], abs=1e-6)
    assert len(read(path, scene=0.9).frames) == 1
    within = read(path, scene=0.1, start_s=1, end_s=3)
    assert within.times_s == pytest.approx((1.0, 1.6), abs=1e-6)


def test_of_too_many_scenes_the_greatest_changes_stay(folder):
    levels = [0, 0, 40, 40, 140, 140, 160, 160, 255, 255]  # 40, 100, 20 and 95 apart

    def grey(n):
        return np.full((SIZE[1], SIZE[0], 3), levels[n], np.uint8)

    path = write(folder / "grey.mkv", [n / 25 for n in range(10)], picture=grey)
    assert read(path, scene=0.05).times_s == (0, 0.08, 0.16, 0.24, 0.32)
    assert read(path, scene=0.05, max_frames=3).times_s == (0, 0.16, 0.32)
    assert read(path, scene=0.1).times_s == (0, 0.08, 0.16, 0.32)


def test_cuts_are_those_that_ffmpeg_finds(folder):
    levels = [0, 0, 40, 40, 140, 140, 160, 160, 150, 140, 255, 255, 200]
    path = folder / "reference.mp4"
    write(
        path,
        [n / 25 for n in range(13)],
        "libx264",
        lambda n: np.full((SIZE[1], SIZE[0], 3), levels[n], np.uint8),
    )
    with av.open(path) as file:
        stream = file.streams.video[0]
        graph = av.filter.Graph()
        steps = [graph.add_buffer(template=stream), graph.add("scdet", "threshold=10")]
        steps.append(graph.add("buffersink"))
        graph.link_nodes(*steps).configure()
        found = []
        for frame in file.decode(stream):
            graph.push(frame)
            scored = graph.pull()
            if "lavfi.scd.time" in scored.metadata:
                found.append(float(scored.metadata["lavfi.scd.time"]))
    assert len(found) == 4
    assert read(path, scene=0.1).times_s[1:] == pytest.approx(found, abs=1e-3)


def test_the_measure_is_its_definition():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 4, 6, 3), np.uint8)
    times_s = [0, 0.04, 0.08, 1.0, 1.04]
    meter = SceneMeter()
    got = [meter.score(frame, at) for frame, at in zip(frames, times_s, strict=True)]
    m = [np.abs(b.astype(float) - a).mean() / 255 for a, b in itertools.pairwise(frames)]
    assert got == pytest.approx(
        [1, m[0], min(m[1], abs(m[1] - m[0])), m[2], min(m[3], abs(m[3] - m[2]))]
    )


def test_slides_are_scenes_of_one_frame(folder):
    path = write(folder / "talk.mkv", [0, 5, 9, 20, 31.5])
    assert read(path, scene=0.04).times_s == (0, 5, 9, 20, 31.5)


def test_the_sound_is_that_of_the_stretch(folder):
    path = write(folder / "loud.mkv", STEADY, tone_hz=440)
    whole = read(path)
    assert whole.sound.sample_rate == 16000
    expected = tone(440, 64000) / 2  # one channel of two is silent
    np.testing.assert_allclose(whole.sound.samples, expected, atol=1e-4)
    part = read(path, start_s=1.25, end_s=2.5)
    np.testing.assert_allclose(part.sound.samples, expected[20000:40000], atol=1e-4)
    assert read(path, sound=False).sound is None
    aac = read(write(folder / "loud.mp4", STEADY, "libx264", tone_hz=440), start_s=1, end_s=3)
    assert aac.sound.samples.size == 32000
    assert np.corrcoef(aac.sound.samples, expected[16000:48000])[0, 1] > 0.99


def test_times_count_from_the_start_of_the_file(folder):
    """An MPEG transport stream begins anywhere; sound and picture keep together."""
    path = write(folder / "late.ts", STEADY, "libx264", tone_hz=440, output_ts_offset="3600")
    clip = read(path, fps=1, start_s=1, end_s=2)
    assert clip.times_s == pytest.approx([1.0], abs=0.13)
    assert clip.duration_s == pytest.approx(4, abs=0.2)
    assert clip.sound.duration_ms == pytest.approx(1000, abs=1)


def test_a_prompt_has_times_frames_and_then_the_sound(folder):
    path = write(folder / "parts.mkv", STEADY, tone_hz=440)
    asked = video.Video(path, VideoParams(fps=2, start_s=2, end_s=3.1))
    parts = video.parts(asked, hears=True)
    assert [p for p in parts if isinstance(p, str)] == ["[00:02.0]", "[00:02.48]", "[00:03.0]"]
    assert [number(p.pixels) for p in parts[1:-1:2]] == [50, 62, 75]
    assert parts[-1].samples.size == 17600
    clip = video.read(path, asked.params.with_timestamps(False))
    assert video.parts(clip, hears=True) == [*clip.frames, clip.sound]


def test_sound_nobody_hears_is_left_out_and_told(folder, caplog):
    path = write(folder / "deaf.mkv", STEADY[:5], tone_hz=440)
    with caplog.at_level(logging.WARNING, "mullama_media"):
        parts = video.parts(video.Video(path), hears=False)
        assert [r.getMessage() for r in caplog.records] == [
            f"{path}: its sound is left out: the model takes no recordings"
        ]
        caplog.clear()
        video.parts(video.Video(path, VideoParams(sound=False)), hears=False)
        video.parts(video.Video(write(folder / "mute.mkv", STEADY[:5])), hears=False)
        assert not caplog.records
    assert len(parts) == 2
    with pytest.raises(ModelCapabilityError, match="takes no recordings") as caught:
        video.parts(video.Video(path, VideoParams(sound=True)), hears=False)
    assert caught.value.where == str(path)
    with pytest.raises(MediaError, match="no sound track"):
        read(folder / "mute.mkv", sound=True)


def test_animations_are_videos_if_they_are_to_be(folder):
    path = folder / "a.gif"
    drawn = [PIL.Image.new("RGB", SIZE, colour) for colour in ("red", "green", "blue")]
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=[500, 1000, 250])
    assert not video.is_video(path)
    clip = read(path, fps=2)
    assert clip.times_s == (0, 0.5, 1.5)
    assert [tuple(frame.pixels[0, 0]) for frame in clip.frames] == [
        (255, 0, 0),
        (0, 128, 0),
        (0, 0, 255),
    ]


def test_tracks_say_what_is_a_video(folder):
    sound = folder / "sound.mp4"
    with av.open(sound, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(440, 16000)[None, :], "fltp", "mono")
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert not video.is_video(sound)
    assert files.is_audio(sound.read_bytes()[:16])
    assert files.read(sound).duration_ms >= 1000
    with pytest.raises(MediaError, match="no video in it"):
        video.read(sound)
    for name in ("shapes.png", "seven.wav"):
        assert not video.is_video(SAMPLES / name)
        assert not video.is_video((SAMPLES / name).read_bytes())
    assert not video.is_video(folder / "none.mp4")
    for head in (b"", b"GIF89a", b"\0\0\0\x20ftypavif", b"\0\0\0\x20ftypM4A ", b"OggS" + bytes(40)):
        assert not video.is_video(head)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("name", ["whole.mp4", "front.mp4", "whole.mkv", "whole.webm", "whole.avi"])
def test_a_truncated_file_is_refused_by_name(folder, name, part):
    options = {"movflags": "faststart"} if name.startswith("front") else {}
    whole = write(folder / name, STEADY, FORMATS[f"a.{name.split('.')[1]}"], **options)
    data = whole.read_bytes()
    cut = folder / f"cut-{name}"
    cut.write_bytes(data[: int(part * len(data))])
    assert video.is_video(cut)
    with pytest.raises(MediaError) as caught:
        read(cut, count=1)
    assert caught.value.where == str(cut)
    assert "truncated" in str(caught.value)


def test_damage_within_is_refused_or_not_met(folder):
    path = write(folder / "damaged.mp4", STEADY, "libx264", gop=1000)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    middle = len(data) // 2
    data[middle : middle + 400] = rng.integers(0, 256, 400, np.uint8).tobytes()
    assert seen(read_bytes(bytes(data), count=1, end_s=0.5)) == [6]
    with pytest.raises(MediaError, match=r"damaged|decoded"):
        read_bytes(bytes(data), fps=25, max_frames=100)


def test_a_damaged_frame_that_the_decoder_patched_up_is_refused(folder):
    def noise(n):
        return np.random.default_rng(n).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)

    data = bytearray(write(folder / "patched.mp4", STEADY[:20], "mpeg4", noise).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = bytes(8)
    assert len(read_bytes(bytes(data), fps=25, end_s=0.2).frames) == 5
    with pytest.raises(MediaError, match=r"the frame at 0\.\d+ s is damaged"):
        read_bytes(bytes(data), fps=25, max_frames=100)


def read_bytes(data, **options):
    return video.read(data, VideoParams(**options))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\0\0\0\x20ftypisom", b"RIFF\xff\0\0\0AVI ", b"\x1a\x45\xdf\xa3"],
)
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        video.read(path)
    assert caught.value.where == str(path)


def test_a_playlist_opens_no_other_file(folder, steady):
    playlist = folder / "list.ffconcat"
    playlist.write_text(f"ffconcat version 1.0\nfile {steady.name}\n")
    with av.open(playlist) as file:  # FFmpeg would
        assert file.streams.video
    with pytest.raises(MediaError, match="cannot be decoded"):
        video.read(playlist)


def test_other_ways_to_fail_say_why(folder, steady, monkeypatch):
    with pytest.raises(MediaError, match="no such file"):
        read(folder / "none.mkv")
    with pytest.raises(MediaError, match=r"4\.0 s, and is to begin at 4 s"):
        read(steady, start_s=4)
    monkeypatch.setattr(container, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaError, match="too large: 64x48"):
        read(steady)


def test_without_pyav_the_error_says_what_to_install(steady, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"mullama-media\[video\]"):
        read(steady)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 1, "count": 2}, "chosen one way"),
        ({"count": 2, "scene": 0.1}, "chosen one way"),
        ({"start_s": 2, "end_s": 2}, "before it begins"),
        ({"fps": 0}, "more than 0"),
        ({"count": 0}, "at least 1"),
        ({"scene": 1.5}, "at most 1"),
        ({"max_side": 4}, "at least 16"),
    ],
)
def test_params_are_checked(options, message):
    with pytest.raises(InvalidOptionError, match=message):
        VideoParams(**options)
