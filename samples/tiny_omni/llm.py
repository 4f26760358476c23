"""SmolLM2 in torch, read from its GGUF: frozen, but gradients flow through to its inputs."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional

LAYERS, HEADS, KV_HEADS, HEAD, WIDTH = 30, 9, 3, 64, 576
ROPE_BASE, EPS = 100_000.0, 1e-5
END = 2  # <|im_end|>

Past = list[tuple[Tensor, Tensor]]


def read_tokenizer(reader: gguf.GGUFReader) -> Tokenizer:
    """The GGUF's own byte-pair vocabulary, split as llama.cpp splits for ``smollm``."""
    field = reader.fields
    tokens = field["tokenizer.ggml.tokens"].contents()
    kinds = field["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in field["tokenizer.ggml.merges"].contents()]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = gguf.TokenType.CONTROL
    special = [
        AddedToken(t, special=True)
        for t, kind in zip(tokens, kinds, strict=True)
        if kind == control
    ]
    tokenizer.add_special_tokens(special)
    return tokenizer


class SmolLM:
    """The language model; matrices in `dtype`, everything between them in float32."""

    def __init__(self, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        reader = gguf.GGUFReader(path)
        self._tokenizer = read_tokenizer(reader)
        self.dtype = dtype
        self._w: dict[str, Tensor] = {}
        for tensor in reader.tensors:
            array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            shape = tuple(int(n) for n in reversed(tensor.shape))
            value = torch.from_numpy(np.array(array, np.float32).reshape(shape))
            self._w[tensor.name.removesuffix(".weight")] = (
                value if value.ndim == 1 else value.to(dtype)
            )
        self.embedding = self._w["token_embd"].float()
        self._inverse = 1.0 / ROPE_BASE ** (torch.arange(0, HEAD, 2).float() / HEAD)

    def ids(self, text: str) -> list[int]:
        """Tokens of `text`; special tokens written out in it count as such."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: list[int]) -> str:
        """Text of the tokens."""
        return str(self._tokenizer.decode(ids))

    def embed(self, ids: list[int] | Tensor) -> Tensor:
        """Input embeddings, shape (tokens, 576)."""
        return self.embedding[torch.as_tensor(ids, dtype=torch.long)]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return (functional.rms_norm(x, (WIDTH,), eps=EPS) * self._w[name]).to(self.dtype)

    def _rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        even, odd = x[..., 0::2].float(), x[..., 1::2].float()
        return (
            torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
            .flatten(-2)
            .to(self.dtype)
        )

    def hidden(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """Run (batch, tokens, 576) embeddings after `past`; return last states and new past."""
        batch, tokens, _ = x.shape
        before = past[0][0].shape[2] if past else 0
        angles = torch.arange(before, before + tokens).float()[:, None] * self._inverse
        cos, sin = angles.cos(), angles.sin()
        mask = torch.ones(tokens, before + tokens, dtype=torch.bool).tril(before)
        present: Past = []
        for i in range(LAYERS):
            block = f"blk.{i}."
            h = self._norm(x, block + "attn_norm")
            q = (
                functional.linear(h, self._w[block + "attn_q"])
                .view(batch, tokens, HEADS, HEAD)
                .transpose(1, 2)
            )
            k = (
                functional.linear(h, self._w[block + "attn_k"])
                .view(batch, tokens, KV_HEADS, HEAD)
                .transpose(1, 2)
            )
            v = (
                functional.linear(h, self._w[block + "attn_v"])
                .view(batch, tokens, KV_HEADS, HEAD)
                .transpose(1, 2)
            )
            q, k = self._rotate(q, cos, sin), self._rotate(k, cos, sin)
            if past:
                k = torch.cat([past[i][0].expand(batch, -1, -1, -1), k], 2)
                v = torch.cat([past[i][1].expand(batch, -1, -1, -1), v], 2)
            present.append((k, v))
            shared = HEADS // KV_HEADS
            a = functional.scaled_dot_product_attention(
                q, k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1), attn_mask=mask
            )
            a = a.transpose(1, 2).reshape(batch, tokens, WIDTH)
            x = x + functional.linear(a, self._w[block + "attn_output"]).float()
            h = self._norm(x, block + "ffn_norm")
            gate, up = (
                functional.linear(h, self._w[block + "ffn_gate"]),
                functional.linear(h, self._w[block + "ffn_up"]),
            )
            x = (
                x
                + functional.linear(functional.silu(gate) * up, self._w[block + "ffn_down"]).float()
            )
        return x, present

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token, float32."""
        return functional.linear(self._norm(hidden, "output_norm"), self._w["token_embd"]).float()
