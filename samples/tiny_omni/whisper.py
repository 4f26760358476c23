"""Whisper tiny.en's encoder in torch, fed as libmtmd feeds it: 80 log-mel bands, 30 s padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mullama_media.hub.tiny_omni.ctranslate2 import read_tensors

RATE, N_FFT, HOP, N_MELS, FRAMES = 16_000, 400, 160, 80, 3000
HEADS, LAYERS, WIDTH = 6, 4, 384


def mel_filters() -> Tensor:
    """Slaney-scaled triangular filters, shape (80, 201)."""
    step = np.log(6.4) / 27.0

    def to_mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + np.log(hz / 1000) / step

    def to_hz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * step))

    edges = to_hz(np.linspace(to_mel(0.0), to_mel(RATE / 2), N_MELS + 2))[:, None]
    bins = np.arange(N_FFT // 2 + 1)[None] * RATE / N_FFT
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    weights = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return torch.from_numpy(weights.astype(np.float32))


def log_mel(samples: np.ndarray, filters: Tensor) -> Tensor:
    """Log-mel spectrogram of at most 30 s of 16 kHz mono, shape (80, 3000)."""
    x = torch.from_numpy(samples[: FRAMES * HOP].astype(np.float32))
    x = functional.pad(x, (0, max(0, N_FFT // 2 + 1 - x.numel())))
    head = x[1 : N_FFT // 2 + 1].flip(0)
    x = torch.cat([head, x])
    x = functional.pad(x, (0, (FRAMES - 1) * HOP + N_FFT - x.numel()))
    spectrum = torch.stft(
        x, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True
    )
    mel = (filters @ spectrum.abs().square()).clamp_min(5.960464477539063e-08).log10()
    return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0


class WhisperEncoder:
    """The frozen encoder; `encode` maps (batch, 80, 3000) to (batch, 1500, 384)."""

    def __init__(self, model_bin: Path, dtype: torch.dtype = torch.float32) -> None:
        tensors = read_tensors(model_bin)
        self._w = {
            name.removeprefix("encoder/"): torch.from_numpy(array.astype(np.float32)).to(dtype)
            for name, array in tensors.items()
            if name.startswith("encoder/") and array.ndim > 0
        }
        self.dtype = dtype

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, (WIDTH,), self._w[name + "/gamma"], self._w[name + "/beta"])

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._w[name + "/weight"], self._w[name + "/bias"])

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        """Encode log-mel spectrograms (batch, 80, 3000) into (batch, 1500, 384)."""
        w = self._w
        x = functional.gelu(
            functional.conv1d(mel.to(self.dtype), w["conv1/weight"], w["conv1/bias"], padding=1)
        )
        x = functional.gelu(
            functional.conv1d(x, w["conv2/weight"], w["conv2/bias"], padding=1, stride=2)
        )
        x = x.transpose(1, 2) + w["position_encodings/encodings"]
        for i in range(LAYERS):
            attention, ffn = f"layer_{i}/self_attention", f"layer_{i}/ffn"
            qkv = self._linear(self._norm(x, attention + "/layer_norm"), attention + "/linear_0")
            q, k, v = qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self._linear(mixed, attention + "/linear_1")
            hidden = functional.gelu(
                self._linear(self._norm(x, ffn + "/layer_norm"), ffn + "/linear_0")
            )
            x = x + self._linear(hidden, ffn + "/linear_1")
        return self._norm(x, "layer_norm")
