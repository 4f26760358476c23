"""Video files by way of FFmpeg: frames at given times, and the sound track."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from mullama_media.errors import MediaError, MissingExtraError
from mullama_media.frames import AudioFrame
from mullama_media.vision.params import DecodeParams

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["VideoFrame", "VideoReader", "moving_picture", "opened"]

MAX_PIXELS = DecodeParams().max_pixels
"""Of a frame; larger videos are refused"""

_KNOWN = (
    "mov,matroska,avi,ogg,flv,mpegts,mpeg,mpegvideo,asf,mxf,ivf,yuv4mpegpipe,dv,nut,h264,hevc,"
    "gif,apng"
)
"""FFmpeg's names of containers. Playlists are not among them: they name files of others."""
_TICK_S = 0.001  # containers round to it: a frame that comes so much later counts as there
_JUMP_S = 1.0  # what lies nearer is decoded, not jumped over
_BEFORE_S = (0.0, 4.0, 16.0)  # some containers land after the time they are asked for
_CUT_S, _CUT_PART = 0.5, 0.02  # a file that ends so much before it says is truncated
_BT709 = 1
_UNSPECIFIED = 2


class VideoFrame:
    """A decoded frame, not yet converted: cheap to hold and to drop."""

    __slots__ = ("_aspect", "_frame", "_name", "time_s")

    def __init__(self, frame: Any, time_s: float, name: str, aspect: Fraction | None) -> None:
        self._frame = frame
        self._name = name
        self._aspect = aspect if aspect and 1 / 16 <= aspect <= 16 else 1
        self.time_s = time_s
        """Seconds from the start of the video to when it is shown"""

    def pixels(self, max_side: int) -> npt.NDArray[np.uint8]:
        """RGB of shape (height, width, 3), upright, pixels square, reduced to `max_side`.

        Raises:
            MediaError: it is damaged, or has more than MAX_PIXELS.
        """
        if self._frame.is_corrupt:
            raise _damaged(self._name, f"the frame at {self.time_s:g} s is damaged")
        return np.ascontiguousarray(_upright(self.thumbnail(max_side), self._frame))

    def thumbnail(self, max_side: int) -> npt.NDArray[np.uint8]:
        """`pixels`, even if it is damaged, and not turned."""
        frame = self._frame
        width, height = max(1, round(frame.width * self._aspect)), frame.height
        _check_size(width, height, self._name)
        scale = min(1.0, max_side / max(width, height))
        # Unmarked material of HD size is BT.709 by convention, smaller BT.601, FFmpeg's default.
        unmarked = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
        pixels: npt.NDArray[np.uint8] = frame.reformat(
            max(1, round(width * scale)),
            max(1, round(height * scale)),
            "rgb24",
            src_colorspace=_BT709 if unmarked and frame.height >= 720 else None,
            interpolation="AREA" if scale < 1 else "BICUBIC",
        ).to_ndarray()
        return pixels


class VideoReader:
    """The frames of a video in the order they are shown, in memory that does not grow with it.

    Times are seconds from the start of the file. Not thread-safe.

    Args:
        source: a path, or the bytes of the file.
        name: for error messages; the path, if left out.

    Raises:
        MediaError: no video, broken, truncated, or larger than MAX_PIXELS.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, name: str | None = None) -> None:
        self.name = name or ("video" if isinstance(source, bytes) else os.fspath(source))
        self._source = source
        self._av = _pyav()
        self._container = opened(source, self.name)
        try:
            self._look()
            self.duration_s = self._measured()
            """Length of the video"""
        except BaseException:
            self._container.close()
            raise

    def _look(self) -> None:
        """Take up a freshly opened file."""
        self._stream = moving_picture(self._container)
        if self._stream is None:
            raise MediaError("there is no video in it", where=self.name)
        context = self._stream.codec_context
        if context is None:
            raise MediaError("FFmpeg has no decoder for it", where=self.name)
        _check_size(context.width, context.height, self.name)
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
        self._stream.thread_type = "AUTO"
        begin = self._container.start_time
        self._origin = Fraction(0 if begin is None else begin, self._av.time_base)
        self._packets = self._decoded()
        self._shown: VideoFrame | None = None
        self._ahead: VideoFrame | None = None
        self._jump_s = _JUMP_S

    @property
    def has_sound(self) -> bool:
        """Whether there is a sound track."""
        return bool(self._container.streams.audio)

    def frames(self, start_s: float = 0.0) -> Iterator[VideoFrame]:
        """The frame that is shown at `start_s`, and all after it.

        Raises:
            MediaError: the file is broken from here on.
        """
        yield self._at(start_s)
        if self._shown is None:  # the first one comes later than that, and was given
            self._step()
        while (frame := self._step()) is not None:
            yield frame

    def at(self, times_s: Iterable[float]) -> Iterator[VideoFrame]:
        """The frames that are shown at these times, which ascend; each frame once.

        What lies between is jumped over where the file has key frames for that.

        Raises:
            MediaError: the file is broken there, or ends before it said it would.
        """
        last = None
        for time_s in times_s:
            frame = self._at(time_s)
            if frame is not last:
                yield frame
            last = frame

    def sound(self, start_s: float = 0.0, end_s: float | None = None) -> AudioFrame | None:
        """The sound track between two times, channels folded by their mean; None without one.

        Raises:
            MediaError: it is broken.
        """
        with self._errors(), opened(self._source, self.name) as container:
            stream = container.streams.best("audio")
            if stream is None or stream.codec_context is None:
                return None
            if start_s > _JUMP_S:  # a little early: sound may lie before the picture it is of
                target = (Fraction(start_s - _JUMP_S) + self._origin) * self._av.time_base
                container.seek(math.floor(target))
            pieces = list(_heard(self._av, container, stream, self._origin, start_s, end_s))
            if not pieces:
                return None
            return AudioFrame(np.concatenate(pieces), stream.codec_context.sample_rate, self.name)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _measured(self) -> float:
        """Where the video ends, from its last packets: heads are wrong, or of a file once whole."""
        stream, total = self._stream, self._container.duration
        declared = None if total is None else total / self._av.time_base
        own = 0.0
        if stream.duration is not None:
            end = (stream.start_time or 0) + stream.duration
            declared = own = float(end * stream.time_base - self._origin)
        elif (tagged := _clock(stream.metadata.get("DURATION", ""))) is not None:  # Matroska
            declared = own = tagged
        ends = {} if declared is None else self._ends(declared)
        if stream.index not in ends:  # seeking leads nowhere
            ends = self._ends(0.0)
        seen = max(ends.values(), default=0.0)
        lacks = declared is not None and declared - seen > max(_CUT_S, _CUT_PART * declared)
        if lacks or self._is_short():
            raise MediaError(
                f"it ends after {seen:.1f} s", where=self.name, hint="The file is truncated"
            )
        return max(own, ends.get(stream.index, 0.0))

    def _is_short(self) -> bool:
        """Whether an AVI has fewer bytes than its head says; FFmpeg makes up a length for these."""
        source = self._source
        if self._container.format.name != "avi":
            return False
        if isinstance(source, bytes):
            head, size = source[:8], len(source)
        else:
            with Path(source).open("rb") as file:
                head, size = file.read(8), os.fstat(file.fileno()).st_size
        return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > size

    def _ends(self, from_s: float) -> dict[int, float]:
        """The end in seconds of every track that has packets from about there on."""
        ends: dict[int, float] = {}
        untimed = 0
        with self._errors(), opened(self._source, self.name) as container:
            if from_s > 0:
                with contextlib.suppress(self._av.FFmpegError):
                    target = (Fraction(from_s) + self._origin) / self._stream.time_base
                    container.seek(math.floor(target), stream=container.streams[self._stream.index])
            for packet in container.demux():
                stream = packet.stream
                at = packet.dts if packet.pts is None else packet.pts
                length = packet.duration * packet.time_base if packet.duration else Fraction(0)
                if stream.type == "video":
                    length = length or 1 / Fraction(stream.guessed_rate or 25)
                if at is not None and stream.type in ("video", "audio"):
                    end = float(at * packet.time_base - self._origin + length)
                    ends[stream.index] = max(ends.get(stream.index, 0.0), end)
                elif packet.size and stream.index == self._stream.index and not from_s:
                    untimed += 1
                    ends[stream.index] = float(untimed * length)
        return ends

    def _at(self, time_s: float) -> VideoFrame:
        if self._shown is None and self._ahead is None:
            self._ahead = self._pull()
        if self._ahead is not None and time_s - self._ahead.time_s > self._jump_s:
            self._jump(time_s)
        while self._ahead is not None and self._ahead.time_s <= time_s + _TICK_S:
            self._step()
        frame = self._shown or self._ahead
        if frame is None:
            raise MediaError("there is no frame in it", where=self.name)
        return frame

    def _step(self) -> VideoFrame | None:
        """One frame on; at the end None, and nothing changes."""
        if self._ahead is None:
            return None
        self._shown, self._ahead = self._ahead, self._pull()
        return self._shown

    def _jump(self, time_s: float) -> None:
        """Go on from the last key frame before a time, wherever that is."""
        left_s = self._ahead.time_s if self._ahead else 0.0
        for before_s in _BEFORE_S:
            first = self._land(time_s - before_s)
            if first is not None and first.time_s <= time_s:
                self._shown, self._ahead = first, self._pull()
                if first.time_s <= left_s:  # key frames are far apart: jump less
                    self._jump_s *= 2
                return
        self._rewind()
        self._jump_s = math.inf

    def _land(self, time_s: float) -> VideoFrame | None:
        """The first frame after seeking, if that worked."""
        target = (Fraction(max(0.0, time_s)) + self._origin) / self._stream.time_base
        try:
            self._container.seek(math.floor(target), stream=self._stream)
            self._packets = self._decoded()
            return self._pull()
        except (self._av.FFmpegError, MediaError):
            return None

    def _rewind(self) -> None:
        self._container.close()
        self._container = opened(self._source, self.name)
        self._look()
        self._ahead = self._pull()

    def _pull(self) -> VideoFrame | None:
        """The next frame, or None at the end."""
        with self._errors():
            return next(self._packets, None)

    def _decoded(self) -> Iterator[VideoFrame]:
        step_s = float(1 / (self._stream.guessed_rate or 25))
        time_s = -step_s
        for packet in self._container.demux(self._stream):
            for frame in packet.decode():
                if frame.pts is None:  # a bare stream has no times, and none to jump to
                    time_s += step_s
                    self._jump_s = math.inf
                else:
                    time_s = float(frame.pts * frame.time_base - self._origin)
                aspect = self._stream.sample_aspect_ratio
                yield VideoFrame(frame, round(time_s, 6), self.name, aspect)

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return _errors(self._av, self.name)


def opened(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Any:
    """PyAV's container of a file of a known kind.

    Raises:
        MediaError: there is no such file, or FFmpeg does not know it.
        MissingExtraError: PyAV is not installed.
    """
    name = name or ("video" if isinstance(source, bytes) else os.fspath(source))
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise MediaError("there is no such file", where=name)
    av = _pyav()
    with _errors(av, name):
        return av.open(
            io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source),
            container_options={"format_whitelist": _KNOWN},
        )


def moving_picture(container: Any) -> Any:
    """The video stream of an open container, or None; the cover of an album is none."""
    moving = [s for s in container.streams.video if not _is_cover(s)]
    best = container.streams.best("video")
    return best if best in moving else next(iter(moving), None)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _heard(
    av: ModuleType,
    container: Any,
    stream: Any,
    origin: Fraction,
    start_s: float,
    end_s: float | None,
) -> Iterator[npt.NDArray[np.float32]]:
    """Mono pieces of a sound track, cut to the sample where it begins and ends."""
    rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler("fltp", stream.codec_context.layout.name, rate)
    begin = round(start_s * rate)
    end = math.inf if end_s is None else round(end_s * rate)
    at: int | None = None  # where the next piece begins
    for frame in itertools.chain(container.decode(stream), [None]):
        if frame is not None:
            if at is None:
                time_s = 0 if frame.pts is None else frame.pts * frame.time_base - origin
                at = round(time_s * rate)
            frame.pts = None
        if at is None or at >= end:
            return
        for piece in resampler.resample(frame):
            mono = piece.to_ndarray().mean(axis=0, dtype=np.float32)
            kept = mono[max(0, begin - at) : int(max(0, min(end - at, mono.size)))]
            at += mono.size
            if kept.size:
                yield kept


def _upright(pixels: npt.NDArray[np.uint8], frame: Any) -> npt.NDArray[np.uint8]:
    """Turned and mirrored as the display matrix says, in quarter turns."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return pixels
    # Nine int32 in rows (a b u, c d v, x y w): a pixel goes from (p, q) to (a p + c q, b p + d q).
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32, 5)
    if abs(a) < abs(b):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    pixels = pixels[:, ::-1] if a < 0 else pixels
    return pixels[::-1] if d < 0 else pixels


def _clock(text: str) -> float | None:
    """Seconds of 01:02:03.5."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"it is too large: {width}x{height}",
            where=name,
            hint=f"At most {MAX_PIXELS:,} pixels are decoded",
        )


@contextlib.contextmanager
def _errors(av: ModuleType, name: str) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError, EOFError, OverflowError) as error:
        if isinstance(error, MediaError):
            raise
        raise _damaged(name, f"it cannot be decoded: {error}") from error


def _damaged(name: str, what: str) -> MediaError:
    return MediaError(what, where=name, hint="The file may be truncated")


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError.of("reading video", "video") from error
    return av
