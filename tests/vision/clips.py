"""Videos that tests make for themselves: every frame is known by its colour."""

from fractions import Fraction

import av
import numpy as np

MILLI = Fraction(1, 1000)
SIZE = (64, 48)


def colour(n):
    """That of frame n, different from those of the 511 others, and far from its neighbours'."""
    return np.array([n % 8, n // 8 % 8, n // 64 % 8]) * 32 + 16


def number(pixels):
    """The frame with these pixels, however they were compressed, if they are of one colour."""
    mean = pixels.reshape(-1, 3).mean(axis=0)
    digits = np.clip((mean - 16) / 32 + 0.5, 0, 7).astype(int)
    return int(digits @ [1, 8, 64])


def write(path, times_s, codec="ffv1", picture=None, gop=12, tone_hz=None, size=SIZE, **options):
    """A video with a frame at each of these times, and if asked for a tone as long."""
    with av.open(path, "w", options=options) as file:
        video = file.add_stream(codec, rate=25)
        video.width, video.height = size
        video.pix_fmt = {"ffv1": "bgr0", "libx264": "yuv444p"}.get(codec, "yuv420p")
        base = Fraction(1, 25) if codec == "mpeg1video" else MILLI
        video.time_base = video.codec_context.time_base = base
        video.codec_context.gop_size = gop
        if codec != "ffv1":
            video.codec_context.bit_rate = 4_000_000
        sound = None
        if tone_hz is not None:
            mkv = str(path).endswith((".mkv", ".mov"))
            sound = file.add_stream("pcm_s16le" if mkv else "aac", rate=16000, layout="stereo")
        for n, time_s in enumerate(times_s):
            pixels = np.empty((size[1], size[0], 3), np.uint8)
            pixels[:] = colour(n)
            frame = av.VideoFrame.from_ndarray(picture(n) if picture else pixels, "rgb24")
            frame.pts, frame.time_base = round(time_s / base), base
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if sound is not None:
            _tone(file, sound, tone_hz, round(16000 * (times_s[-1] + 0.04)))
    return path


def tone(hz, n, rate=16000):
    """Full scale on the left, silence on the right, so the mean is half."""
    return np.sin(2 * np.pi * hz * np.arange(n) / rate).astype(np.float32)


def _tone(file, stream, hz, n):
    left = (32767 * tone(hz, n)).astype(np.int16)
    samples = np.stack([left, np.zeros_like(left)], 1)
    for start in range(0, n, 1024):
        block = np.ascontiguousarray(samples[start : start + 1024].reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
