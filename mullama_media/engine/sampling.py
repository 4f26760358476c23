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
        0.8, "Softmax temperature: 0 is greedy, higher is more varied.", ge=0
    )
    top_k: int = option(40, "Keep the k most likely tokens; 0 keeps all.", ge=0)
    top_p: float = option(
        0.95, "Keep the smallest set of tokens with this probability in sum; 1 keeps all.", gt=0, le=1
    )
    min_p: float = option(
        0.05, "Drop tokens less likely than this share of the best one's probability.", ge=0, le=1
    )
    repeat_penalty: float = option(
        1.0, "Divide the logits of tokens seen before by this; 1 is off.", gt=0
    )
    frequency_penalty: float = option(
        0.0, "Subtract this from a token's logit for each time it was seen.", ge=-10, le=10
    )
    presence_penalty: float = option(
        0.0, "Subtract this from the logit of every token that was seen.", ge=-10, le=10
    )
    penalty_last_n: int = option(
        64, "Tokens the penalties look back on, prompt included; 0 turns them off.", ge=0
    )
    seed: int | None = option(
        None, "The same seed draws the same tokens; None for a fresh one.", ge=0, le=2**32 - 1
    )
    logprobs: int | None = option(
        None,
        "Report each token's log-probability under the model and this many alternatives; "
        "None reports nothing.",
        ge=0,
    )
