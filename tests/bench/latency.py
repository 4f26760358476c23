"""From the last word to the first token: utterances of 1 to 25 s, in real time.

Speech is recorded prompts (Debian asterisk-core-sounds-en-wav) joined with short pauses; the model
hears it itself (tiny-omni). With and without evaluation while somebody speaks. The silence that
ends a turn is part of both: 600 ms by default.
"""

import asyncio
import io
from pathlib import Path

import numpy as np
import soundfile

from mullama_media import EngineParams, MultimodalProcessor, SamplingParams
from mullama_media.assistant import ChatParams, LiveChat
from mullama_media.audio import files
from mullama_media.audio.resample import resample
from mullama_media.io import FileSource
from mullama_media.options import replace
from mullama_media.speech import StreamingAudioProcessor
from mullama_media.speech.parts import PartParams
from mullama_media.speech.turns import TurnTrace

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
RATE = 16000
PAUSE_S = (0.25, 0.5)  # within speech: shorter than what ends a turn
PARAMS = ChatParams(question="What is said?", max_tokens=4, sampling=SamplingParams(temperature=0))


def clips() -> list[np.ndarray]:
    """Prompts without the silence around them."""
    found = []
    for path in sorted(PROMPTS.glob("*.wav"))[:200]:
        samples = resample(files.read(path), RATE).samples
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        if loud.size > RATE // 2:
            found.append(samples[loud[0] : loud[-1] + 1])
    if not found:
        raise SystemExit("apt-get install asterisk-core-sounds-en-wav")
    return found


def speech(prompts: list[np.ndarray], seconds: float, rng: np.random.Generator) -> np.ndarray:
    """About so long, pauses included."""
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < seconds * RATE:
        if pieces:
            pieces.append(np.zeros(round(rng.uniform(*PAUSE_S) * RATE), np.float32))
        pieces.append(prompts[rng.integers(len(prompts))])
    return np.concatenate(pieces)[: round(seconds * RATE)]


async def ask(processor: MultimodalProcessor, samples: np.ndarray, params: ChatParams) -> TurnTrace:
    """One utterance, alone, in real time."""
    around = np.zeros(round(0.8 * RATE), np.float32)
    file = io.BytesIO()
    heard = np.concatenate([around, samples, around, around])
    soundfile.write(file, heard, RATE, format="WAV", subtype="FLOAT")
    ear = StreamingAudioProcessor(FileSource(file.getvalue(), paced=True))
    async with LiveChat(ear, processor, params) as chat:
        traces = [event async for event in chat if isinstance(event, TurnTrace)]
    return traces[-1]


def main(count: str = "50") -> None:
    rng = np.random.default_rng(0)
    prompts = clips()
    lengths = np.linspace(1, 25, int(count))
    rows: dict[bool, list[tuple[float, TurnTrace]]] = {True: [], False: []}
    engine = EngineParams(n_ctx=2048, n_parallel=2)
    with MultimodalProcessor.load("tiny-omni", engine_params=engine) as processor:
        for seconds in lengths:
            for while_speaking in rows:
                params = replace(PARAMS, parts=PartParams(while_speaking=while_speaking))
                samples = speech(prompts, float(seconds), rng)  # new to the engine each time
                trace = asyncio.run(ask(processor, samples, params))
                rows[while_speaking].append((float(seconds), trace))
    for while_speaking, told in rows.items():
        print("evaluated while it is spoken" if while_speaking else "evaluated at the end")
        for name, low, high in (("all", 0, 99), ("up to 5 s", 0, 5), ("20 s and more", 20, 99)):
            chosen = [trace for seconds, trace in told if low <= seconds <= high]
            after = [t.first_token_ms - t.end_of_turn_delay_ms for t in chosen if t.first_token_ms]
            whole = [t.first_token_ms for t in chosen if t.first_token_ms]
            print(
                f"  {name:14} last word to first token p50 {np.percentile(whole, 50):5.0f} ms, "
                f"p95 {np.percentile(whole, 95):5.0f}; of it after the end of the turn "
                f"{np.percentile(after, 50):5.0f} and {np.percentile(after, 95):5.0f}; "
                f"{len(whole)} utterances"
            )
