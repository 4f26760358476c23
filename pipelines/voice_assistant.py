"""Talk with a model: python pipelines/voice_assistant.py [CONFIG] [SOUND]

Composition only: each table of the file is an options class of the package, each key one of its
fields. Without SOUND, a sound file, it listens to the microphone until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mullama_media import FileSource
from mullama_media.assistant import TABLES, Asked, Problem, open_chat
from mullama_media.errors import MullamaError
from mullama_media.options import load_toml
from mullama_media.speech.turns import Answered, Interrupt, Token, TurnTrace

CONFIG = Path(__file__).parent.parent / "configs" / "voice_assistant.toml"


async def main(config: Path, sound: Path | None) -> None:
    """Until the sound ends."""
    source = None if sound is None else lambda: FileSource(sound, paced=True)
    async with open_chat(load_toml(config, TABLES), source) as chat:
        async for event in chat:
            match event:
                case Asked():
                    print(f"> {event.text or '(speech)'}")
                case Token():
                    print(event.text, end="", flush=True)
                case Answered():
                    print()
                case Interrupt():
                    print(" ...")
                case TurnTrace(first_token_ms=float(first)):
                    print(f"  [first token {first:.0f} ms after the last word]", file=sys.stderr)
                case Problem():
                    print(event.error, file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(
            main(
                Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIG,
                Path(sys.argv[2]) if len(sys.argv) > 2 else None,
            )
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except MullamaError as error:
        sys.exit(str(error))
