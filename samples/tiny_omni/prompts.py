"""The many ways a question about a picture or a recording is put, as libmtmd will see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tasks import BOTH, HEAR, SEE, SYSTEM_WEIGHTS, SYSTEMS, chat

PICTURE, RECORDING = "\ue000", "\ue001"  # stand for the media until the text is split at them
JOINTS = ("", "\n", " ")
JOINT_WEIGHTS = (0.6, 0.3, 0.1)


@dataclass(frozen=True)
class Prompt:
    """A rendered chat: text pieces with media between them, ``len(texts) == len(media) + 1``."""

    texts: tuple[str, ...]
    media: tuple[str, ...]


def render(user: str, system: str | None) -> Prompt:
    """Split a rendered chat at its media, as libmtmd does before it tokenises the pieces."""
    texts, media = [""], []
    for character in chat(user, system):
        if character in (PICTURE, RECORDING):
            media.append(character)
            texts.append("")
        else:
            texts[-1] += character
    return Prompt(tuple(texts), tuple(media))


def random_prompt(kind: str, rng: np.random.Generator) -> Prompt:
    """A prompt of `kind` "hear", "see" or "both", with random wording, order and system text."""
    system = SYSTEMS[rng.choice(len(SYSTEMS), p=SYSTEM_WEIGHTS)]
    joint = str(rng.choice(JOINTS, p=JOINT_WEIGHTS))
    if kind == "both":
        media = str(rng.choice([PICTURE + RECORDING, RECORDING + PICTURE]))
        words = str(rng.choice(BOTH))
    else:
        media, wordings = (RECORDING, HEAR) if kind == "hear" else (PICTURE, SEE)
        words = str(rng.choice(wordings))
    user = media + joint + words if rng.random() < 0.6 else words + joint + media
    return render(user, system)
