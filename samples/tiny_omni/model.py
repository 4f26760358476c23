"""The trainable parts of tiny-omni, shaped like the graphs libmtmd builds for them.

Parameter names are the GGUF tensor names, so that a state dict is the shipped weights file.
Vision is ``nemotron_v2_vl`` (any picture becomes one fixed-size input, no text around it), audio
is ``ultravox`` (Whisper's frames stacked, then a gated projection).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

TEXT_WIDTH = 576  # SmolLM2-135M's embedding size

IMAGE_SIDE, PATCH, MERGE = 96, 12, 2
GRID = IMAGE_SIDE // PATCH
IMAGE_TOKENS = (GRID // MERGE) ** 2
VIT_WIDTH, VIT_HEADS, VIT_LAYERS, VIT_FFN = 128, 4, 6, 512
VISION_HIDDEN = 512
EPS = 1e-6

AUDIO_WIDTH, AUDIO_FRAMES, STACK = 384, 1500, 30
AUDIO_TOKENS = AUDIO_FRAMES // STACK
AUDIO_HIDDEN = 192


class _Named(nn.Module):
    """Holds parameters under dotted GGUF names."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors = nn.ParameterDict()

    def _matrix(self, name: str, *shape: int, std: float | None = None) -> None:
        fan_in = torch.Size(shape[1:]).numel()
        self._put(name, torch.randn(shape) * (fan_in**-0.5 if std is None else std))

    def _put(self, name: str, value: Tensor) -> None:
        self.tensors[name.replace(".", "/")] = nn.Parameter(value)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name.replace(".", "/")]

    def named_tensors(self) -> dict[str, Tensor]:
        """Every parameter by its GGUF name."""
        return {name.replace("/", "."): p.detach() for name, p in self.tensors.items()}

    def load_named(self, tensors: dict[str, Tensor]) -> None:
        for name, parameter in self.tensors.items():
            parameter.data.copy_(tensors[name.replace("/", ".")])


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """Root-mean-square norm over the last axis, as ggml computes it."""
    return functional.rms_norm(x, (x.shape[-1],), eps=EPS) * weight


def cosine_filters(count: int) -> Tensor:
    """Where the patch embedding starts: half brightness, half colour-opponent cosine waves.

    Edges are what tells shapes apart; with random filters a patch's mean colour drowns them and
    training stays on a plateau for thousands of steps.
    """
    place = (torch.arange(PATCH) + 0.5) / PATCH
    waves = torch.cos(torch.pi * torch.arange(PATCH)[:, None] * place[None]) / (PATCH / 2) ** 0.5
    order = sorted(
        ((u, v) for u in range(PATCH) for v in range(PATCH)), key=lambda uv: uv[0] ** 2 + uv[1] ** 2
    )
    opponents = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])
    opponents = opponents / opponents.norm(dim=1, keepdim=True)
    filters = []
    for colours, share in zip(opponents, (count // 2, count // 4, count // 4), strict=True):
        for u, v in order[:share]:
            gain = 0.1 if u == v == 0 else 0.5
            filters.append(gain * colours[:, None, None] * waves[u][:, None] * waves[v])
    return torch.stack(filters)


def waves_by_place(width: int) -> Tensor:
    """Sines and cosines of each patch's column and row, shape (patches, width)."""
    rates = 8.0 ** -torch.linspace(0, 1, width // 4)
    angles = torch.arange(GRID)[:, None] * rates * torch.pi / 2
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows, columns = waves[:, None].expand(-1, GRID, -1), waves[None].expand(GRID, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


class Vision(_Named):
    """A small ViT and its projector: (batch, 96, 96, 3) uint8 to (batch, 16, 576)."""

    def __init__(self, text_scale: float = 0.1) -> None:
        super().__init__()
        d = VIT_WIDTH
        self._put("v.patch_embd.weight", cosine_filters(d))
        self._put("v.patch_embd.bias", torch.zeros(d))
        self._put("v.position_embd.weight", 0.5 * waves_by_place(d))
        self._matrix("v.class_embd", 1, d, std=0.1)
        for i in range(VIT_LAYERS):
            block = f"v.blk.{i}."
            for part, rows, columns in (
                ("attn_q", d, d),
                ("attn_k", d, d),
                ("attn_v", d, d),
                ("attn_out", d, d),
                ("ffn_up", VIT_FFN, d),
                ("ffn_down", d, VIT_FFN),
            ):
                residual = part in ("attn_out", "ffn_down")
                self._matrix(
                    block + part + ".weight", rows, columns, std=0.01 if residual else None
                )
                self._put(block + part + ".bias", torch.zeros(rows))
            # Equal queries and keys: at first a patch looks at those near it and like it.
            self[block + "attn_k.weight"].data.copy_(self[block + "attn_q.weight"])
            self._norm(block + "ln1")
            self._norm(block + "ln2")
        self._norm("v.post_ln")
        merged = d * MERGE * MERGE
        self._put("mm.model.mlp.0.weight", torch.ones(merged))
        self._matrix("mm.model.mlp.1.weight", VISION_HIDDEN, merged)
        self._matrix(
            "mm.model.mlp.3.weight", TEXT_WIDTH, VISION_HIDDEN, std=text_scale / VISION_HIDDEN**0.5
        )

    def _norm(self, name: str) -> None:
        self._put(name + ".weight", torch.ones(VIT_WIDTH))
        self._put(name + ".bias", torch.zeros(VIT_WIDTH))

    def _layer_norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, (VIT_WIDTH,), self[name + ".weight"], self[name + ".bias"], EPS
        )

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self[name + ".weight"], self[name + ".bias"])

    def patches(self, pixels: Tensor) -> Tensor:
        """The ViT's output: (batch, 64, 128)."""
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        x = functional.conv2d(
            x, self["v.patch_embd.weight"], self["v.patch_embd.bias"], stride=PATCH
        )
        x = x.flatten(2).transpose(1, 2) + self["v.position_embd.weight"]
        x = torch.cat([self["v.class_embd"].expand(x.shape[0], -1, -1), x], 1)
        for i in range(VIT_LAYERS):
            block = f"v.blk.{i}."
            h = self._layer_norm(x, block + "ln1")
            q, k, v = (
                self._linear(h, block + part).unflatten(-1, (VIT_HEADS, -1)).transpose(1, 2)
                for part in ("attn_q", "attn_k", "attn_v")
            )
            mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self._linear(mixed, block + "attn_out")
            h = functional.gelu(
                self._linear(self._layer_norm(x, block + "ln2"), block + "ffn_up"),
                approximate="tanh",
            )
            x = x + self._linear(h, block + "ffn_down")
        return self._layer_norm(x, "v.post_ln")[:, 1:]

    def project(self, x: Tensor) -> Tensor:
        """Join 2 x 2 patches and project them: (batch, 64, 128) to (batch, 16, 576)."""
        n = GRID // MERGE
        x = x.reshape(-1, n, MERGE, n, MERGE, VIT_WIDTH).permute(0, 1, 3, 2, 4, 5)
        merged = x.reshape(-1, IMAGE_TOKENS, MERGE * MERGE * VIT_WIDTH)
        h = functional.linear(
            rms_norm(merged, self["mm.model.mlp.0.weight"]), self["mm.model.mlp.1.weight"]
        )
        return functional.linear(functional.relu(h).square(), self["mm.model.mlp.3.weight"])

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pictures into embeddings for the language model."""
        return self.project(self.patches(pixels))


class Audio(_Named):
    """The projector on Whisper's frames: (batch, 1500, 384) to (batch, 50, 576)."""

    def __init__(self, text_scale: float = 0.1) -> None:
        super().__init__()
        stacked = AUDIO_WIDTH * STACK
        self._put("mm.a.norm_pre.weight", torch.ones(stacked))
        self._matrix("mm.a.mlp.1.weight", 2 * AUDIO_HIDDEN, stacked)
        self._put("mm.a.norm_mid.weight", torch.ones(AUDIO_HIDDEN))
        self._matrix(
            "mm.a.mlp.2.weight", TEXT_WIDTH, AUDIO_HIDDEN, std=text_scale / AUDIO_HIDDEN**0.5
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Turn encoder frames into embeddings for the language model."""
        x = frames.reshape(frames.shape[0], AUDIO_TOKENS, STACK * AUDIO_WIDTH)
        x = functional.linear(rms_norm(x, self["mm.a.norm_pre.weight"]), self["mm.a.mlp.1.weight"])
        value, gate = x.chunk(2, -1)
        x = rms_norm(value * functional.silu(gate), self["mm.a.norm_mid.weight"])
        return functional.linear(x, self["mm.a.mlp.2.weight"])
