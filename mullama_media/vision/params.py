"""Which frames of a video are looked at."""

from __future__ import annotations

from mullama_media.errors import InvalidOptionError
from mullama_media.options import option, options

__all__ = ["VideoParams"]


@options
class VideoParams:
    """How a video becomes frames. One of `fps`, `count` and `scene` chooses them."""

    fps: float | None = option(
        default=None,
        doc="Frames for each second of the video; 1 if no other way to choose is given. If they "
        "were more than max_frames, that many are spread evenly.",
        gt=0,
        le=1000,
    )
    count: int | None = option(
        default=None,
        doc="So many frames, from the middles of as many equal stretches.",
        ge=1,
        le=4096,
    )
    scene: float | None = option(
        default=None,
        doc="The first frame, and the first after each cut: where the picture changes by more than "
        "this, 0 to 1. 0.1 finds hard cuts.",
        source="the measure of FFmpeg's filter scdet, see docs/video.md",
        gt=0,
        le=1,
    )
    max_frames: int | None = option(
        default=None,
        doc="Most frames, of scenes those with the greatest changes; 16 if left out, by count "
        "as many as that.",
        ge=1,
        le=4096,
    )
    max_side: int = option(
        default=1024, doc="Longer side of a frame in pixels; larger ones are reduced.", ge=16
    )
    start_s: float = option(default=0.0, doc="Second of the video to begin at.", ge=0)
    end_s: float | None = option(
        default=None, doc="Second of the video to end at; its end if left out.", gt=0
    )
    timestamps: bool = option(
        default=True, doc="A text such as [00:01.5] before each frame in the prompt."
    )
    sound: bool | None = option(
        default=None,
        doc="The sound track behind the frames in the prompt; if left out, where there is one and "
        "the model takes recordings.",
    )

    def __post_init__(self) -> None:
        ways = [name for name in ("fps", "count", "scene") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise InvalidOptionError(
                "frames are chosen one way", where=f"VideoParams.{ways[1]}", hint=f"Or {ways[0]}"
            )
        if self.end_s is not None and self.end_s <= self.start_s:
            raise InvalidOptionError(
                f"it ends at {self.end_s:g} s, before it begins at {self.start_s:g} s",
                where="VideoParams.end_s",
            )

    @property
    def most(self) -> int:
        """The bound on frames that is in force."""
        if self.count is not None:
            return min(self.count, self.max_frames or self.count)
        return self.max_frames or 16
