"""A tiny BERT with random weights: as a file, and in float64 NumPy to compare with.

Devlin et al., BERT (2018): learned positions, post-norm layers, GELU; the classification head is
that of RoBERTa (dense, tanh, projection).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.made import write_gguf

TEXT = "the a cat dog sat ran on under mat tree and moon is red blue big small ! . ?"
WORDS = TEXT.split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)
EPS = 1e-12


@dataclass(frozen=True)
class TinyBert:
    """Its weights, by their names in the file."""

    weights: dict[str, np.ndarray]
    n_layer: int
    n_head: int
    n_ctx: int

    @classmethod
    def random(cls, seed=0, *, n_embd=32, n_layer=2, n_head=4, n_ff=64, n_ctx=512, n_out=0):
        """n_out: outputs of a classification head; 0 for none."""
        rng = np.random.default_rng(seed)
        weights = {}

        def matrix(name, n_out, n_in, size=0.3):
            weights[f"{name}.weight"] = rng.normal(0, size, (n_out, n_in)).astype(np.float32)
            weights[f"{name}.bias"] = rng.normal(0, size, n_out).astype(np.float32)

        def norm(name):
            weights[f"{name}.weight"] = rng.normal(1, 0.2, n_embd).astype(np.float32)
            weights[f"{name}.bias"] = rng.normal(0, 0.2, n_embd).astype(np.float32)

        n_vocab = len(SPECIAL) + len(WORDS)
        for name, rows in (("token_embd", n_vocab), ("token_types", 2), ("position_embd", n_ctx)):
            weights[f"{name}.weight"] = rng.normal(0, 1, (rows, n_embd)).astype(np.float32)
        norm("token_embd_norm")
        for i in range(n_layer):
            for part in ("q", "k", "v", "output"):
                matrix(f"blk.{i}.attn_{part}", n_embd, n_embd)
            norm(f"blk.{i}.attn_output_norm")
            matrix(f"blk.{i}.ffn_up", n_ff, n_embd)
            matrix(f"blk.{i}.ffn_down", n_embd, n_ff)
            norm(f"blk.{i}.layer_output_norm")
        if n_out:
            matrix("cls", n_embd, n_embd)
            matrix("cls.output", n_out, n_embd)
        return cls(weights, n_layer, n_head, n_ctx)

    def write(self, path: Path, **fields) -> Path:
        tokens = [*SPECIAL, *(f"▁{word}" for word in WORDS)]
        known = {
            "general.type": "model",
            "bert.block_count": self.n_layer,
            "bert.context_length": self.n_ctx,
            "bert.embedding_length": self.weights["token_embd.weight"].shape[1],
            "bert.feed_forward_length": self.weights["blk.0.ffn_up.weight"].shape[0],
            "bert.attention.head_count": self.n_head,
            "bert.attention.layer_norm_epsilon": EPS,
            "bert.attention.causal": False,
            "tokenizer.ggml.model": "bert",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * len(WORDS),
            "tokenizer.ggml.token_type_count": 2,
            "tokenizer.ggml.bos_token_id": CLS,
            "tokenizer.ggml.cls_token_id": CLS,
            "tokenizer.ggml.seperator_token_id": SEP,
            "tokenizer.ggml.padding_token_id": PAD,
            "tokenizer.ggml.unknown_token_id": UNK,
            "tokenizer.ggml.mask_token_id": MASK,
        }
        return write_gguf(path, "bert", {**known, **fields}, self.weights)

    def states(self, tokens) -> np.ndarray:
        """(tokens, n_embd): what the last layer gives."""
        w = self.weights
        tokens = np.asarray(tokens)
        x = w["token_embd.weight"][tokens].astype(np.float64)
        x = x + w["token_types.weight"][0] + w["position_embd.weight"][: len(tokens)]
        x = self._norm(x, "token_embd_norm")
        for i in range(self.n_layer):
            x = self._norm(x + self._attention(x, i), f"blk.{i}.attn_output_norm")
            inner = _gelu(self._linear(x, f"blk.{i}.ffn_up"))
            inner = self._linear(inner, f"blk.{i}.ffn_down")
            x = self._norm(x + inner, f"blk.{i}.layer_output_norm")
        return x

    def scores(self, tokens) -> np.ndarray:
        """(n_out,): of the classification head, on the first token."""
        first = self.states(tokens)[0]
        return self._linear(np.tanh(self._linear(first, "cls")), "cls.output")

    def _linear(self, x, name):
        return (
            x @ self.weights[f"{name}.weight"].T.astype(np.float64) + self.weights[f"{name}.bias"]
        )

    def _norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _attention(self, x, i):
        n, width = x.shape
        q, k, v = (
            self._linear(x, f"blk.{i}.attn_{part}").reshape(n, self.n_head, -1).swapaxes(0, 1)
            for part in "qkv"
        )
        scores = q @ k.swapaxes(1, 2) / np.sqrt(width / self.n_head)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self._linear((weights @ v).swapaxes(0, 1).reshape(n, width), f"blk.{i}.attn_output")


def _gelu(x):
    """ggml's: the tanh form, read from a table of half precision."""
    half = x.astype(np.float16).astype(np.float64)
    y = 0.5 * half * (1 + np.tanh(np.sqrt(2 / np.pi) * half * (1 + 0.044715 * half * half)))
    return y.astype(np.float16).astype(np.float64)
