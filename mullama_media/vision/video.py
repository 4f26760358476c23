"""Videos to frames with their times, and to the parts of a prompt."""

from __future__ import annotations

import heapq
import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mullama_media.errors import MediaError, MissingExtraError, ModelCapabilityError
from mullama_media.frames import AudioFrame, Image
from mullama_media.options import replace
from mullama_media.vision.container import VideoFrame, VideoReader, moving_picture, opened
from mullama_media.vision.params import VideoParams
from mullama_media.vision.scenes import SIDE, SceneMeter

__all__ = ["Clip", "Video", "clock", "is_video", "parts", "read", "times"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Video:
    """A video file as content of a prompt, and how it is looked at."""

    source: str | os.PathLike[str] | bytes
    """A path, or the bytes of the file"""
    params: VideoParams = field(default_factory=VideoParams)

    @property
    def name(self) -> str:
        """For error messages"""
        return "video" if isinstance(self.source, bytes) else os.fspath(self.source)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What was taken from a video."""

    frames: tuple[Image, ...]
    """In order; named after video and time, such as clip.mp4@00:01.500"""
    times_s: tuple[float, ...]
    """When each is shown, in seconds from the start of the video"""
    duration_s: float
    """Of the whole video"""
    sound: AudioFrame | None
    """The sound track between `start_s` and `end_s`, at its own rate, if it was taken"""
    has_sound: bool
    """Whether the video has a sound track"""
    params: VideoParams
    name: str

    def __repr__(self) -> str:
        sound = ", with sound" if self.sound else ""
        return f"<Clip of {len(self.frames)} frames in {self.duration_s:.1f} s{sound} {self.name}>"


def is_video(source: str | os.PathLike[str] | bytes) -> bool:
    """Whether a file is a video, by its first bytes and, where they leave it open, its tracks.

    Animated pictures are none here, though `read` takes GIF and APNG. What cannot be read, or is
    broken, is said by who reads it.
    """
    head = _head(source)
    if _is_always_video(head):
        return True
    boxed = head[4:8] == b"ftyp" and head[8:12] not in _PICTURES and head[8:11] not in _SOUNDS
    if not boxed and head[:4] not in (b"\x1a\x45\xdf\xa3", b"OggS", b"0&\xb2u"):
        return False
    if head[:4] == b"OggS" and b"theora" not in head and b"fishead" not in head:
        return False
    try:
        with opened(source) as container:
            return moving_picture(container) is not None
    except (MediaError, MissingExtraError):
        return boxed


_PICTURES = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_PICTURES |= {b"avif", b"avis", b"crx "}
_SOUNDS = {b"M4A", b"M4B"}


def _is_always_video(head: bytes) -> bool:
    return (
        (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head[:4] in (b"FLV\x01", b"DKIF", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
        or head[4:8] in (b"moov", b"mdat", b"wide", b"pnot")  # QuickTime before ftyp
        or head.startswith((b"YUV4MPEG2 ", b"\x06\x0e+4\x02\x05\x01\x01"))  # Y4M, MXF
        or (len(head) > 376 and head[0] == head[188] == head[376] == 0x47)  # MPEG-TS
        or (len(head) > 388 and head[4] == head[196] == head[388] == 0x47)  # of a Blu-ray
    )


def _head(source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:512]
    try:
        with Path(source).open("rb") as file:
            return file.read(512)
    except (OSError, ValueError):
        return b""


def read(
    source: str | os.PathLike[str] | bytes,
    params: VideoParams | None = None,
    *,
    name: str | None = None,
) -> Clip:
    """Take frames and sound from a video file. Blocks; thread-safe.

    At most as many frames are in memory as are taken, and one more, whatever the video's length.
    MP4, MOV, MKV, WebM, AVI, MPEG and what else FFmpeg knows. Pictures are turned upright, and
    made wide where pixels are not square.

    Args:
        source: a path, or the bytes of the file.
        params: which frames, and whether sound.
        name: for frames and error messages; the path, if left out.

    Raises:
        MediaError: not a video, broken, truncated, too large, or it ends before `start_s`; or
            `sound` is True and there is none.
        MissingExtraError: PyAV is not installed.
    """
    params = params or VideoParams()
    with VideoReader(source, name) as video:
        if params.sound and not video.has_sound:
            raise MediaError("there is no sound track in it", where=video.name)
        sound = None
        if params.sound is not False and video.has_sound:
            sound = video.sound(params.start_s, params.end_s)
            if sound is None and params.sound:
                raise MediaError("its sound track is empty there", where=video.name)
        taken = [(frame.time_s, frame.pixels(params.max_side)) for frame in _chosen(video, params)]
        return Clip(
            tuple(Image(pixels, f"{video.name}@{clock(time_s)}") for time_s, pixels in taken),
            tuple(time_s for time_s, _ in taken),
            video.duration_s,
            sound,
            video.has_sound,
            params,
            video.name,
        )


def _chosen(video: VideoReader, params: VideoParams) -> Iterator[VideoFrame]:
    end_s = video.duration_s if params.end_s is None else min(params.end_s, video.duration_s)
    if params.start_s > 0 and params.start_s >= end_s:
        raise MediaError(
            f"it has {video.duration_s:.1f} s, and is to begin at {params.start_s:g} s",
            where=video.name,
        )
    if params.scene is None:
        return video.at(times(params, end_s))
    return _scenes(video, params, params.scene, end_s)


def times(params: VideoParams, end_s: float) -> list[float]:
    """The seconds to look at, by fps or count, of a video that ends at `end_s`. Pure."""
    length_s = max(0.0, end_s - params.start_s)
    fps = params.fps or 1.0
    wanted = math.ceil(length_s * fps - 1e-6)
    if params.count is None and wanted <= params.most:
        return [params.start_s + n / fps for n in range(max(1, wanted))]
    step_s = length_s / params.most
    return [params.start_s + (n + 0.5) * step_s for n in range(params.most)]


def _scenes(
    video: VideoReader, params: VideoParams, threshold: float, end_s: float
) -> Iterator[VideoFrame]:
    """The first frame and the first of each scene; of too many those with the greatest change."""
    meter = SceneMeter()
    found: list[tuple[float, int, VideoFrame]] = []  # (score, -number, frame); the first scores 1
    for number, frame in enumerate(video.frames(params.start_s)):
        if number and frame.time_s >= end_s:
            break
        score = meter.score(frame.thumbnail(SIDE), frame.time_s)
        if score >= threshold:
            push = heapq.heappushpop if len(found) == params.most else heapq.heappush
            push(found, (score, -number, frame))
    yield from (frame for _, _, frame in sorted(found, key=lambda one: -one[1]))


def clock(time_s: float) -> str:
    """A time as 00:01.500, or 01:00:01.500 where there are hours."""
    milliseconds = round(1000 * time_s)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours:02}:' * (hours > 0)}{minutes:02}:{seconds:02}.{milliseconds:03}"


def parts(content: Video | Clip, *, hears: bool) -> list[str | Image | AudioFrame]:
    """What stands for a video in a prompt: a timestamp and a frame in turn, then the sound.

    Sound that the model cannot hear is left out, and the logger says so, unless it was asked for.
    Blocks while a `Video` is read; thread-safe.

    Args:
        content: the video, read already or not.
        hears: whether the model takes recordings.

    Raises:
        ModelCapabilityError: `sound` is True and the model does not hear.
        MediaError, MissingExtraError: as `read`.
    """
    asked = content.params.sound
    if asked and not hears:
        raise ModelCapabilityError(
            "the model takes no recordings",
            where=content.name,
            hint="Load it with an mmproj that holds an audio encoder, or leave the sound out",
        )
    if isinstance(content, Video):
        params = content.params
        content = read(content.source, params if hears else replace(params, sound=False))
    if content.has_sound and content.sound is None and asked is not False:
        why = "there is none to decode" if hears else "the model takes no recordings"
        _log.warning("%s: its sound is left out: %s", content.name, why)
    out: list[str | Image | AudioFrame] = []
    for frame, time_s in zip(content.frames, content.times_s, strict=True):
        if content.params.timestamps:
            out.append(f"[{_short(clock(time_s))}]")
        out.append(frame)
    if hears and content.sound is not None:
        out.append(content.sound)
    return out


def _short(time: str) -> str:
    return time.rstrip("0") + "0" * (time.endswith(".000"))
