"""How the next token is chosen."""

from __future__ import annotations

from mullama_media.options import option, options

__all__ = ["SamplingParams"]


@options
class SamplingParams:
    """How the next token is chosen.

    Applied in this order: penalties, top-k, top-p, min-p, temperature, draw. At temperature 0 the
    most likely token is taken after the penalties and the rest is skipped.
    """

    temperature: float = option(
        default=0.8, doc="Softmax temperature: 0 is greedy, higher is more varied.", ge=0
    )
    top_k: int = option(default=40, doc="Keep the k most likely tokens; 0 keeps all.", ge=0)
    top_p: float = option(
        default=0.95,
        doc="Keep the smallest set of tokens with this probability in sum; 1 keeps all.",
        gt=0,
        le=1,
    )
    min_p: float = option(
        default=0.05,
        doc="Drop tokens less likely than this share of the best one's probability.",
        ge=0,
        le=1,
    )
    repeat_penalty: float = option(
        default=1.0, doc="Divide the logits of tokens seen before by this; 1 is off.", gt=0
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
    )
    seed: int | None = option(
        default=None,
        doc="The same seed draws the same tokens; None for a fresh one.",
        ge=0,
        le=2**32 - 1,
    )
    logprobs: int | None = option(
        default=None,
        doc="Report each token's log-probability under the model and this many alternatives; "
        "None reports nothing.",
        ge=0,
    )
