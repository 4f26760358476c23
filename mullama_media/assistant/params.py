"""How a live conversation goes."""

from __future__ import annotations

from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import StreamConfig
from mullama_media.multimodal import AskOptions
from mullama_media.options import option, options
from mullama_media.speech.parts import PartParams
from mullama_media.speech.turns import TurnParams

__all__ = ["ChatParams"]


@options
class ChatParams:
    """What a live conversation is told besides who hears, answers and speaks."""

    system: str | None = option(default=None, doc="System message.")
    question: str | None = option(
        default=None,
        doc="Text that goes behind what is said, where the model hears it itself; models that were "
        "trained on questions about sound need one.",
    )
    max_tokens: int | None = option(default=256, doc="Most tokens of an answer.", ge=1)
    history: str = option(
        default="forget",
        doc="When the context is full: forget leaves out the oldest turns, error ends the turn.",
        choices=("forget", "error"),
    )
    sampling: SamplingParams = option(default=SamplingParams(), doc="How tokens are chosen.")
    turns: TurnParams = option(default=TurnParams(), doc="Whose turn it is.")
    parts: PartParams = option(
        default=PartParams(), doc="What a model that hears is given while somebody speaks."
    )

    def ask_options(self) -> AskOptions:
        """The same as keyword arguments for `MultimodalProcessor.conversation`."""
        config = StreamConfig(max_tokens=self.max_tokens)
        return {"system": self.system, "sampling": self.sampling, "config": config}
