"""What an engine has done, and where its time went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Counters", "Perf"]


@dataclass(frozen=True, slots=True)
class Counters:
    """What an engine has done so far."""

    requests: int
    prompt_tokens: int
    reused_tokens: int
    """Prompt tokens that were in a KV cache already"""
    generated_tokens: int
    drafted_tokens: int
    """Guessed by speculative decoding"""
    accepted_tokens: int
    """Of those, right"""
    steps: int
    """Batches evaluated"""
    shifts: int
    """Times a full context was shifted"""
    media_encoded: int
    media_reused: int
    """Media that were remembered or under way"""
    encoder_passes: int
    media_cache_bytes: int
    active: int
    """Requests running now"""
    queued: int
    """Requests waiting now"""

    @classmethod
    def of(cls, native: Any) -> Self:
        """From the core's own."""
        media = native.media
        return cls(
            requests=native.requests,
            prompt_tokens=native.prompt_tokens,
            reused_tokens=native.reused_tokens,
            generated_tokens=native.generated_tokens,
            drafted_tokens=native.drafted_tokens,
            accepted_tokens=native.accepted_tokens,
            steps=native.steps,
            shifts=native.shifts,
            media_encoded=media.encoded,
            media_reused=media.reused,
            encoder_passes=media.passes,
            media_cache_bytes=media.cached_bytes,
            active=native.active,
            queued=native.queued,
        )


@dataclass(frozen=True, slots=True)
class Perf:
    """Where the time of an engine went. `print` it for a table.

    Steps of the scheduler either hold rows of prompts (prefill; running answers get their next
    token in the same step) or only answers (decode). The encoders have a thread of their own, so
    their time overlaps with both.
    """

    wall_ms: float
    prefill_ms: float
    """In steps with rows of prompts, sampling not counted"""
    prefill_tokens: int
    """Rows of prompts evaluated in them, those of media included"""
    decode_ms: float
    """In steps without, sampling not counted"""
    decode_tokens: int
    """Tokens evaluated in them, guesses of speculative decoding included"""
    sampling_ms: float
    encode_ms: float
    """In the vision and audio encoders"""
    media_encoded: int
    reused_tokens: int
    """Prompt tokens that needed no evaluation"""

    @classmethod
    def of(cls, native: Any, wall_s: float) -> Self:
        """From the core's counters and the time since the engine was made."""
        return cls(
            wall_ms=1000 * wall_s,
            prefill_ms=native.prefill_us / 1000,
            prefill_tokens=native.prefill_rows,
            decode_ms=native.decode_us / 1000,
            decode_tokens=native.decode_rows,
            sampling_ms=native.sampling_us / 1000,
            encode_ms=native.media.ms,
            media_encoded=native.media.encoded,
            reused_tokens=native.reused_tokens,
        )

    def minus(self, earlier: Perf) -> Perf:
        """What came after `earlier`."""
        return Perf(*(getattr(self, n) - getattr(earlier, n) for n in self.__slots__))

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second while there were any; 0 without."""
        return _rate(self.prefill_tokens, self.prefill_ms)

    @property
    def decode_rate(self) -> float:
        """Tokens of all answers together a second, sampling included; 0 without."""
        return _rate(self.decode_tokens, self.decode_ms + self.sampling_ms)

    @property
    def busy(self) -> float:
        """Share of the time in which the scheduler had work, 0 to 1."""
        spent = self.prefill_ms + self.decode_ms + self.sampling_ms
        return min(spent / self.wall_ms, 1.0) if self.wall_ms > 0 else 0.0

    def __str__(self) -> str:
        return "\n".join(
            (
                f"prefill   {self.prefill_ms:10.0f} ms {self.prefill_tokens:8d} tokens "
                f"{self.prefill_rate:8.1f} tokens/s, {self.reused_tokens} more reused",
                f"decode    {self.decode_ms:10.0f} ms {self.decode_tokens:8d} tokens "
                f"{self.decode_rate:8.1f} tokens/s",
                f"sampling  {self.sampling_ms:10.0f} ms",
                f"encoders  {self.encode_ms:10.0f} ms {self.media_encoded:8d} media",
                f"in all    {self.wall_ms:10.0f} ms, busy {self.busy:.0%}",
            )
        )


def _rate(count: int, ms: float) -> float:
    return 1000 * count / ms if ms > 0 else 0.0
