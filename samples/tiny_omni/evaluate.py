"""Score tiny-omni on media it never saw, through whatever can answer a question about a file.

The backend is one function, ``answer(picture, recording, words) -> str``; two are here.
Results go to a JSON file and, as tables, into the model card.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scenes
import soundfile as sf
import speech
from PIL import Image
from tasks import (
    BOTH,
    COLOURS,
    COMMANDS,
    DIGITS,
    HEAR,
    HELD_OUT_HEAR,
    HELD_OUT_SEE,
    NOTHING_HEARD,
    PHRASES,
    SEE,
    SHAPES,
    both_answer,
    picture_answer,
    scene_answer,
)

Answer = Callable[[bytes | None, bytes | None, str], str]  # PNG, WAV and the question's words
MAX_TOKENS = 40
MEDIA_LAST_EVERY = 4  # every fourth question comes before its media


def server_backend(url: str) -> Answer:
    """Ask a running llama-server that was started with ``--mmproj``."""

    def answer(picture: bytes | None, recording: bytes | None, words: str) -> str:
        parts: list[dict[str, object]] = []
        if picture:
            data = "data:image/png;base64," + base64.b64encode(picture).decode()
            parts.append({"type": "image_url", "image_url": {"url": data}})
        if recording:
            audio = {"data": base64.b64encode(recording).decode(), "format": "wav"}
            parts.append({"type": "input_audio", "input_audio": audio})
        text = {"type": "text", "text": words.removesuffix("|")}
        content = [text, *parts] if words.endswith("|") else [*parts, text]
        body = {
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        request = urllib.request.Request(
            f"{url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            return str(json.load(response)["choices"][0]["message"]["content"])

    return answer


def own_backend(name: str) -> Answer:
    """Ask through mullama_media's own engine."""
    from mullama_media import MultimodalProcessor, SamplingParams, StreamConfig

    processor = MultimodalProcessor.load(name)
    greedy, config = SamplingParams(temperature=0.0), StreamConfig(max_tokens=MAX_TOKENS)

    def answer(picture: bytes | None, recording: bytes | None, words: str) -> str:
        media = [medium for medium in (picture, recording) if medium]
        text = words.removesuffix("|")
        content = [text, *media] if words.endswith("|") else [*media, text]
        return processor.generate(content, sampling=greedy, config=config).text

    return answer


def png(pixels: np.ndarray) -> bytes:
    """The picture as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def wav(samples: np.ndarray) -> bytes:
    """The recording as a WAV file."""
    out = io.BytesIO()
    sf.write(out, samples, speech.RATE, format="WAV")
    return out.getvalue()


def question(wordings: tuple[str, ...], number: int) -> str:
    """The wording for the `number`-th item; a trailing bar asks for the words before the media."""
    late = "|" if number % MEDIA_LAST_EVERY == MEDIA_LAST_EVERY - 1 else ""
    return wordings[number % len(wordings)] + late


def score_speech(
    answer: Answer, recordings: Path, wordings: tuple[str, ...] = HEAR
) -> dict[str, object]:
    """Exact answers on ``recordings/<voice>/<phrase>.wav``."""
    voices: dict[str, dict[str, float]] = {}
    confusion: dict[str, Counter[str]] = {digit: Counter() for digit in DIGITS}
    wrong = []
    number = 0
    for folder in sorted(p for p in recordings.iterdir() if p.is_dir()):
        right: dict[str, list[bool]] = {"digits": [], "commands": []}
        for path in sorted(folder.glob("*.wav")):
            phrase = path.stem.replace("_", " ")
            got = answer(None, path.read_bytes(), question(wordings, number)).strip()
            number += 1
            right["digits" if phrase in DIGITS else "commands"].append(got == phrase)
            if phrase in DIGITS:
                confusion[phrase][got if got in DIGITS else "other"] += 1
            if got != phrase:
                wrong.append([folder.name, phrase, got])
        voices[folder.name] = {kind: float(np.mean(hits)) for kind, hits in right.items() if hits}
    return {"voices": voices, "digit_confusion": confusion, "wrong": wrong}


def score_silence(answer: Answer, count: int = 12) -> dict[str, int]:
    """What is answered where nobody speaks."""
    rng = np.random.default_rng(77)
    return Counter(
        answer(None, wav(speech.silence(rng)), question(HEAR, i)).strip() for i in range(count)
    )


def score_scenes(
    answer: Answer, shapes: int, count: int, wordings: tuple[str, ...] = SEE, seed: int = 4242
) -> dict[str, object]:
    """Exact answers on scenes of various sizes with this many shapes."""
    rng = np.random.default_rng((seed, shapes))
    colours: dict[str, Counter[str]] = {colour: Counter() for colour in COLOURS}
    names: dict[str, Counter[str]] = {shape: Counter() for shape in SHAPES}
    right, wrong = [], []
    for number in range(count):
        pixels, found = scenes.draw(rng, shapes, side=int(rng.integers(96, 400)))
        expected = picture_answer([item.words for item in found])
        got = answer(png(pixels), None, question(wordings, number)).strip()
        right.append(got == expected)
        if got != expected:
            wrong.append([expected, got])
        said = got.lower().split()
        for table, known in ((colours, COLOURS), (names, SHAPES)):
            words = [word for word in said if word in known]
            for place, item in enumerate(found):
                word = item.colour if known is COLOURS else item.name
                whole = len(words) == len(found)
                table[word][words[place] if whole else "other"] += 1
    return {
        "exact": float(np.mean(right)),
        "count": count,
        "colour_confusion": colours,
        "shape_confusion": names,
        "wrong": wrong,
    }


def score_shuffled(answer: Answer, recordings: Path, count: int = 40) -> dict[str, float]:
    """Exact answers when each medium is swapped for another one's: what guessing would give."""
    rng = np.random.default_rng(55)
    paths = [p for p in sorted(recordings.rglob("*.wav")) if p.stem in DIGITS]
    heard = []
    for i in range(count):
        expected, given = rng.choice(np.array(DIGITS)), paths[rng.integers(len(paths))]
        heard.append(answer(None, given.read_bytes(), question(HEAR, i)).strip() == expected)
    drawn = [scenes.draw(rng, 1, 160) for _ in range(count)]
    seen = []
    for i in range(count):
        pixels, found = drawn[i][0], drawn[(i + 1) % count][1]
        got = answer(png(pixels), None, question(SEE, i)).strip()
        seen.append(got == picture_answer([item.words for item in found]))
    return {"digits": float(np.mean(heard)), "shapes": float(np.mean(seen))}


def score_both(answer: Answer, recordings: Path, count: int = 30) -> dict[str, float]:
    """A picture and a recording in one turn: exact, and each half on its own."""
    rng = np.random.default_rng(66)
    paths = sorted(recordings.rglob("*.wav"))
    hits = []
    for i in range(count):
        pixels, found = scenes.draw(rng, 1, 160)
        path = paths[rng.integers(len(paths))]
        scene, phrase = scene_answer([item.words for item in found]), path.stem.replace("_", " ")
        got = answer(png(pixels), path.read_bytes(), question(BOTH, i)).strip()
        hits.append((got == both_answer(scene, phrase), scene in got, phrase in got))
    return dict(zip(("exact", "scene", "speech"), np.mean(hits, 0).tolist(), strict=True))


def evaluate(answer: Answer, recordings: Path, human: Path | None) -> dict[str, object]:
    """Every score of the model card."""
    blank = [scenes.draw(np.random.default_rng((88, i)), 0, 160)[0] for i in range(12)]
    seen_blank = Counter(
        answer(png(p), None, question(SEE, i)).strip() for i, p in enumerate(blank)
    )
    results: dict[str, object] = {
        "speech": score_speech(answer, recordings),
        "one_shape": score_scenes(answer, 1, 120),
        "two_shapes": score_scenes(answer, 2, 80),
        "blank_pictures": seen_blank,
        "silence": score_silence(answer),
        "shuffled": score_shuffled(answer, recordings),
        "both": score_both(answer, recordings),
        "new_wordings_scenes": score_scenes(answer, 1, 40, HELD_OUT_SEE, seed=4343)["exact"],
        "expected_when_blank": [picture_answer([]), NOTHING_HEARD],
        "phrases": [len(DIGITS), len(COMMANDS), len(PHRASES)],
    }
    if human:
        results["human"] = score_speech(answer, human)
        results["human_new_wordings"] = score_speech(answer, human, HELD_OUT_HEAR)["voices"]
    return results


def main() -> None:
    """Score one backend and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recordings", type=Path, required=True, help="held-out voices, one folder each"
    )
    parser.add_argument("--human", type=Path, help="the same layout, recorded from people")
    parser.add_argument("--server", help="URL of a llama-server; without it our own engine answers")
    parser.add_argument("--model", default="tiny-omni")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    answer = server_backend(args.server) if args.server else own_backend(args.model)
    results = evaluate(answer, args.recordings, args.human)
    args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
