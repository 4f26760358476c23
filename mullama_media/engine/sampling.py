"""How the next token is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mullama_media.errors import InvalidOptionError
from mullama_media.options import option, options, replace

__all__ = ["PRESETS", "SAMPLERS", "SamplingParams"]

SAMPLERS = (
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "tfs_z",
    "typical_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
)
"""Every sampler there is, in the order they are applied by default."""

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "greedy": {"temperature": 0.0},
        "precise": {"temperature": 0.3, "top_p": 0.9, "min_p": 0.1},
        "balanced": {},
        "creative": {"temperature": 1.2, "top_k": 0, "top_p": 1.0, "dry_multiplier": 0.8},
        "mirostat": {"temperature": 1.0, "mirostat": 2},
        "adaptive": {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "adaptive_p_target": 0.5},
    }
)
"""What each preset changes of the defaults."""

LogitBias = Mapping[int | str, float] | tuple[tuple[int | str, float], ...]
_MOST_BIAS = 1e6  # keeps sums of logits exact enough to be ordered
_INT32 = 2**31 - 1


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, Mapping) else value


@options
class SamplingParams:
    """How the next token is chosen.

    First `logit_bias`, banned strings and `min_tokens` act on the logits. Then the chain that
    `samplers` names is applied in that order; a sampler at its "off" value does nothing. Then one
    token is drawn: from what is left, or by mirostat, or by adaptive-p. At temperature 0 the most
    likely token is taken after the penalties and DRY, and the rest is skipped.
    """

    temperature: float = option(
        default=0.8,
        doc="Softmax temperature: 0 is greedy, higher is more varied.",
        source="Ackley, Hinton, Sejnowski 1985, A Learning Algorithm for Boltzmann Machines",
        ge=0,
        le=100,
    )
    dynamic_temperature_range: float = option(
        default=0.0,
        doc="Let the temperature move this far up where the model is unsure (high entropy) and "
        "down where it is sure; 0 is off.",
        source="as in llama.cpp, by normalised entropy; compare Zhang et al., arXiv:2403.14541",
        ge=0,
        le=100,
    )
    dynamic_temperature_exponent: float = option(
        default=1.0,
        doc="Curve from normalised entropy to dynamic temperature; 1 is straight.",
        gt=0,
        le=100,
    )
    top_k: int = option(
        default=40,
        doc="Keep the k most likely tokens; 0 keeps all.",
        source="Fan et al., arXiv:1805.04833",
        ge=0,
        le=_INT32,
    )
    top_p: float = option(
        default=0.95,
        doc="Keep the smallest set of tokens with this probability in sum; 1 keeps all.",
        source="Holtzman et al., arXiv:1904.09751",
        gt=0,
        le=1,
    )
    min_p: float = option(
        default=0.05,
        doc="Drop tokens less likely than this share of the best one's probability; 0 keeps all.",
        source="Nguyen et al., arXiv:2407.01082",
        ge=0,
        le=1,
    )
    typical_p: float = option(
        default=1.0,
        doc="Keep the tokens whose surprise is nearest to the entropy, up to this probability in "
        "sum; 1 keeps all.",
        source="Meister et al., arXiv:2202.00666",
        gt=0,
        le=1,
    )
    tfs_z: float = option(
        default=1.0,
        doc="Tail-free: cut where this share of the sorted probabilities' curvature is passed; "
        "1 keeps all.",
        source="Bricken 2020, Tail Free Sampling",
        ge=0,
        le=1,
    )
    top_n_sigma: float = option(
        default=0.0,
        doc="Keep logits within n standard deviations of the largest; 0 keeps all.",
        source="Tang et al., arXiv:2411.07641",
        ge=0,
        le=1000,
    )
    xtc_probability: float = option(
        default=0.0,
        doc="How often to drop all but the least likely of the tokens above `xtc_threshold`; "
        "0 is off.",
        source="p-e-w 2024, Exclude Top Choices",
        ge=0,
        le=1,
    )
    xtc_threshold: float = option(
        default=0.1, doc="Probability from which XTC takes a token for a top choice.", gt=0, le=0.5
    )
    min_keep: int = option(
        default=1,
        doc="Tokens that top-k, top-p, min-p, typical, tail-free and XTC leave at least.",
        ge=1,
        le=_INT32,
    )
    mirostat: int = option(
        default=0,
        doc="Hold the surprise of the text constant with Mirostat 1 or 2, in place of the "
        "samplers that cut; 0 is off.",
        source="Basu et al., arXiv:2007.14966",
        ge=0,
        le=2,
    )
    mirostat_tau: float = option(
        default=5.0, doc="Surprise that mirostat aims at, in bits a token.", gt=0, le=100
    )
    mirostat_eta: float = option(default=0.1, doc="How fast mirostat corrects itself.", ge=0, le=10)
    adaptive_p_target: float | None = option(
        default=None,
        doc="Prefer tokens near this probability, adapting so that the mean of those chosen "
        "stays there; None is off.",
        source="llama.cpp, pull request 17927",
        ge=0,
        le=1,
    )
    adaptive_p_decay: float = option(
        default=0.9,
        doc="Memory of adaptive-p: it looks back on about 1/(1-decay) tokens.",
        ge=0,
        le=0.99,
    )
    repeat_penalty: float = option(
        default=1.0,
        doc="Divide the logits of tokens seen before by this (multiply where negative); 1 is off.",
        source="Keskar et al., arXiv:1909.05858",
        ge=0.01,
        le=100,
    )
    frequency_penalty: float = option(
        default=0.0,
        doc="Subtract this from a token's logit for each time it was seen.",
        ge=-10,
        le=10,
    )
    presence_penalty: float = option(
        default=0.0, doc="Subtract this from the logit of every token that was seen.", ge=-10, le=10
    )
    penalty_last_n: int = option(
        default=64,
        doc="Tokens the penalties look back on, prompt included; 0 turns them off.",
        ge=0,
        le=1_000_000,
    )
    dry_multiplier: float = option(
        default=0.0,
        doc="Strength of DRY, which penalises tokens that would continue a repeated sequence, by "
        "multiplier * base ** (length - allowed length); 0 is off.",
        source="p-e-w 2024, Don't Repeat Yourself",
        ge=0,
        le=100,
    )
    dry_base: float = option(
        default=1.75, doc="Growth of the DRY penalty with each repeated token.", ge=1, le=100
    )
    dry_allowed_length: int = option(
        default=2, doc="Tokens that may be repeated without a DRY penalty.", ge=1, le=_INT32
    )
    dry_penalty_last_n: int = option(
        default=1024,
        doc="Tokens DRY looks back on, prompt included; 0 turns it off.",
        ge=0,
        le=1_000_000,
    )
    dry_sequence_breakers: tuple[str, ...] = option(
        default=("\n", ":", '"', "*"),
        doc="Texts across which DRY sees no repetition; at most 40 bytes each.",
    )
    logit_bias: LogitBias = option(
        default=(),
        doc="Added to the logits of tokens, given by id or by a text that is one token; -inf bans.",
        convert=_pairs,
    )
    banned_strings: tuple[str, ...] = option(
        default=(),
        doc="Texts that never appear in the answer: where one would be completed, generation goes "
        "back to the token it began in and takes another.",
    )
    min_tokens: int = option(
        default=0,
        doc="Tokens to generate before the model's own end or a stop token may come.",
        ge=0,
        le=_INT32,
    )
    samplers: tuple[str, ...] = option(
        default=SAMPLERS,
        doc="The samplers to apply, in this order; those left out are off.",
        choices=SAMPLERS,
    )
    seed: int | None = option(
        default=None,
        doc="The same seed draws the same tokens; None for a fresh one.",
        ge=0,
        le=2**32 - 2,  # the largest 32-bit number means "any" to llama.cpp
    )
    logprobs: int | None = option(
        default=None,
        doc="Report each token's log-probability under the model and this many alternatives; "
        "None reports nothing.",
        ge=0,
        le=_INT32,
    )

    def __post_init__(self) -> None:
        if len(set(self.samplers)) < len(self.samplers):
            raise InvalidOptionError(
                "a sampler is named twice", where="SamplingParams.samplers", hint=str(self.samplers)
            )
        if self.mirostat and self.adaptive_p_target is not None:
            raise InvalidOptionError(
                "mirostat and adaptive-p both draw the token",
                where="SamplingParams.mirostat",
                hint="Use one of them",
            )
        for name in ("banned_strings", "dry_sequence_breakers"):
            if "" in getattr(self, name):
                raise InvalidOptionError("an empty text is in it", where=f"SamplingParams.{name}")
        if any(len(text.encode()) > 40 or "\0" in text for text in self.dry_sequence_breakers):
            raise InvalidOptionError(
                "a text is longer than 40 bytes or holds a NUL",
                where="SamplingParams.dry_sequence_breakers",
            )
        for token, bias in _pairs(self.logit_bias):
            if not (abs(bias) <= _MOST_BIAS or bias == -math.inf):
                raise InvalidOptionError(
                    f"the bias of {token!r} is {bias}",
                    where="SamplingParams.logit_bias",
                    hint=f"It must be within {_MOST_BIAS:.0f} either way, or -inf to ban the token",
                )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> SamplingParams:
        """One of `PRESETS` with some fields changed.

        greedy: the most likely token, always. precise: few surprises. balanced: the defaults.
        creative: varied, and kept from repeating itself by DRY. mirostat: constant surprise.
        adaptive: neither the obvious nor the absurd.

        Raises:
            InvalidOptionError: there is no such preset or field, or a value is out of its range.
        """
        if name not in PRESETS:
            raise InvalidOptionError(
                f"there is no preset {name!r}", hint=f"There are: {', '.join(PRESETS)}"
            )
        return replace(cls(), **{**PRESETS[name], **changes})

    def with_token_ids(self, tokenize: Callable[[str], Sequence[int]]) -> SamplingParams:
        """A copy whose `logit_bias` names tokens by id alone.

        Raises:
            InvalidOptionError: a text in it is not exactly one token.
        """
        pairs = _pairs(self.logit_bias)
        if not any(isinstance(token, str) for token, _ in pairs):
            return self
        return replace(self, logit_bias=tuple((_id_of(t, tokenize), bias) for t, bias in pairs))


def _id_of(token: int | str, tokenize: Callable[[str], Sequence[int]]) -> int:
    if isinstance(token, int):
        return token
    ids = tokenize(token)
    if len(ids) != 1:
        raise InvalidOptionError(
            f"{token!r} is {len(ids)} tokens and not one",
            where="SamplingParams.logit_bias",
            hint="Give token ids; or use banned_strings to keep a text out",
        )
    return ids[0]
