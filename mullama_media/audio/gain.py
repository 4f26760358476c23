"""Loudness: a noise gate, automatic gain, and a limiter that nothing gets past."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mullama_media.audio.blocks import BlockStage
from mullama_media.audio.config import AgcConfig, GateConfig

__all__ = ["Agc", "Gate", "Limiter", "level_db"]

Samples = npt.NDArray[np.float32]

BLOCK_MS = 10
_SILENCE_DB = -200.0
_VOICE_DB = 15.0  # what is less than this below the level of the voice is voice
_LEAK_DB = 3.0  # how fast the level falls, a second, while there is none
_RELEASE_MS = 50  # of the limiter, from -60 dB to 0


def level_db(samples: Samples) -> float:
    """RMS in dBFS: 0 is a square wave at full scale, -3 a sine; -200 is silence."""
    power = float(np.dot(samples, samples)) / max(samples.size, 1)
    return 10 * math.log10(power) if power > 1e-20 else _SILENCE_DB


def _amplitude(db: float) -> float:
    return float(10 ** (db / 20))


class Gate(BlockStage):
    """A `Stage` that turns down what is quieter than a threshold.

    It opens at `threshold_db` and, to give the attack time, 10 ms early; it closes when the level
    was `hysteresis_db` lower for `hold_ms`. Gain moves in straight lines.

    Delay: 20 ms.
    """

    def __init__(self, config: GateConfig, sample_rate: int) -> None:
        block = sample_rate * BLOCK_MS // 1000
        super().__init__(block, block)
        self._open_db = config.threshold_db
        self._close_db = config.threshold_db - config.hysteresis_db
        self._floor = _amplitude(config.range_db)
        travel = 1 - self._floor
        self._up = travel / max(config.attack_ms * sample_rate / 1000, 1)
        self._down = travel / max(config.release_ms * sample_rate / 1000, 1)
        self._hold = math.ceil(config.hold_ms / BLOCK_MS)
        self._ramp = np.arange(1, block + 1, dtype=np.float32)
        self._before = np.zeros(block, np.float32)
        self._left = 0  # blocks to stay open
        self._gain = self._floor

    @property
    def is_open(self) -> bool:
        """Whether sound passes."""
        return self._left > 0

    def reset(self) -> None:
        """Forget everything; closed."""
        super().reset()
        self._left, self._gain = 0, self._floor

    def _restart(self) -> None:
        self._before[:] = 0

    def _block(self, block: Samples, out: Samples) -> None:
        level = level_db(block)
        if level >= (self._close_db if self._left else self._open_db):
            self._left = self._hold + 1
        elif self._left:
            self._left -= 1
        end = 1.0 if self._left else self._floor
        if self._gain == end:
            np.multiply(self._before, np.float32(end), out=out)
        else:
            slope = self._up if self._left else -self._down
            np.multiply(self._ramp, np.float32(slope), out=out)
            out += np.float32(self._gain)
            np.clip(out, self._floor, 1, out=out)
            self._gain = min(max(self._gain + slope * out.size, self._floor), 1.0)
            out *= self._before
        self._before[:] = block


class Limiter(BlockStage):
    """A `Stage` after which no sample is above a ceiling.

    It sees peaks `lookahead_ms` before they leave and turns down in time: the least gain needed
    within the look-ahead, averaged over as long, so the gain has no steps; it comes back at a
    constant rate. What is below the ceiling is untouched.

    Delay: `lookahead_ms` and a block of 10 ms.
    """

    def __init__(self, ceiling_db: float, lookahead_ms: float, sample_rate: int) -> None:
        block = sample_rate * BLOCK_MS // 1000
        ahead = max(round(sample_rate * lookahead_ms / 1000), 1)
        super().__init__(block, ahead)
        self._ahead = ahead
        self._ceiling = np.float32(_amplitude(ceiling_db))
        self._rate = 1 / (sample_rate * _RELEASE_MS / 1000)
        self._rise = self._rate * np.arange(block)
        self._window = np.zeros(ahead + block, np.float32)  # what waits, and the new block
        self._held = np.ones(ahead + block)  # gains of late, and those of what leaves

    def _restart(self) -> None:
        self._window[:] = 0
        self._held[:] = 1

    def _block(self, block: Samples, out: Samples) -> None:
        ahead, size, window = self._ahead, self._size, self._window
        window[:ahead] = window[size:]
        window[ahead:] = block
        loud = bool(max(window.max(), -window.min()) > self._ceiling)
        if loud or self._held[-ahead:].min() < 1:
            np.multiply(window[:size], self._gains(loud), out=out)
            np.clip(out, -self._ceiling, self._ceiling, out=out)  # what rounding left
        else:
            out[:] = window[:size]
            self._held[:] = 1

    def _gains(self, loud: bool) -> npt.NDArray[np.float64]:
        ahead, size, held = self._ahead, self._size, self._held
        needed = np.ones(size)
        if loud:
            peaks = np.maximum(np.abs(self._window), self._ceiling)
            needed = self._ceiling / _sliding_max(peaks, ahead + 1).astype(np.float64)
        # Rising no faster than the rate: a running minimum, once the rise is taken out.
        last = held[-1] + self._rate
        held[:ahead] = held[size:]
        needed[0] = min(needed[0], last)
        held[ahead:] = np.minimum.accumulate(needed - self._rise) + self._rise
        sums = np.cumsum(held)
        means = sums[ahead:].copy()
        means[1:] -= sums[: size - 1]
        return means / (ahead + 1)


def _sliding_max(samples: Samples, width: int) -> Samples:
    """The largest of every `width` neighbours, by doubling: n log(width) comparisons."""
    span = 1
    while 2 * span <= width:
        samples = np.maximum(samples[:-span], samples[span:])
        span *= 2
    rest = width - span
    return np.maximum(samples[:-rest], samples[rest:]) if rest else samples


class Agc(BlockStage):
    """A `Stage` that brings speech to one level.

    The level is that of the louder blocks of 10 ms: it rises with `attack_ms`, falls with
    `release_ms` to what is up to 15 dB quieter, and by 3 dB a second while there is only what is
    quieter still, so pauses do not turn up the noise. It begins without gain, lest noise before the
    first word turn that up, and never clips if a `Limiter` follows.

    Delay: 10 ms.
    """

    def __init__(self, config: AgcConfig, sample_rate: int) -> None:
        block = sample_rate * BLOCK_MS // 1000
        super().__init__(block, 0)
        self._config = config
        self._attack = 1 - math.exp(-BLOCK_MS / config.attack_ms)
        self._release = 1 - math.exp(-BLOCK_MS / config.release_ms)
        self._ramp = np.arange(1, block + 1, dtype=np.float32) / block
        self._level_db = config.target_db
        self._gain = 1.0

    @property
    def gain_db(self) -> float:
        """What it amplifies by at present."""
        return 20 * math.log10(self._gain)

    def reset(self) -> None:
        """Forget everything; no gain."""
        super().reset()
        self._level_db, self._gain = self._config.target_db, 1.0

    def _block(self, block: Samples, out: Samples) -> None:
        self._measure(level_db(block))
        end = self._wanted(self._level_db)
        np.multiply(self._ramp, np.float32(end - self._gain), out=out)
        out += np.float32(self._gain)
        out *= block
        self._gain = end

    def _wanted(self, level: float) -> float:
        config = self._config
        gain = min(max(config.target_db - level, config.min_gain_db), config.max_gain_db)
        return _amplitude(gain)

    def _measure(self, now: float) -> None:
        if now < self._config.floor_db:
            return
        level = self._level_db
        if now >= level:
            self._level_db = level + self._attack * (now - level)
        elif now >= level - _VOICE_DB:
            self._level_db = level + self._release * (now - level)
        else:
            self._level_db = level - _LEAK_DB * BLOCK_MS / 1000
