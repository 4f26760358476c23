"""Make the sample media in this folder: a drawing, two recordings and a video, from fixed seeds.

The recordings use a voice that tiny-omni never heard in training (flite's ``rms``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np
import soundfile as sf
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "tiny_omni"))

import scenes  # noqa: E402
import speech  # noqa: E402
from tasks import DIGITS, both_answer, picture_answer  # noqa: E402

PICTURE_SEED = 22
HOLDOUT_PICTURES = ((101, 1), (102, 1), (103, 1), (104, 2), (105, 2))  # seed, shapes
SIDE = 256


def picture(seed: int, shapes: int, path: Path) -> str:
    """Draw a scene into `path`; return what it shows."""
    pixels, found = scenes.draw(np.random.default_rng((2024, seed)), shapes, SIDE)
    Image.fromarray(pixels).save(path)
    return picture_answer([item.words for item in found])


def recording(voice: speech.Voice, phrase: str, seed: int, path: Path) -> str:
    """Speak `phrase` into `path` with a short pause around it; return the phrase."""
    spoken = speech.synthesise(voice, phrase, np.random.default_rng((2025, seed)))
    pause = int(0.25 * speech.RATE)
    sf.write(path, np.pad(spoken, pause), speech.RATE, subtype="PCM_16")
    return phrase


def make_holdout(folder: Path) -> dict[str, str]:
    """Media for tests: five scenes and the ten digits in held-out voices."""
    folder.mkdir(exist_ok=True)
    labels = {}
    for seed, shapes in HOLDOUT_PICTURES:
        name = f"scene-{seed}.png"
        labels[name] = picture(seed, shapes, folder / name)
    for i, digit in enumerate(DIGITS):
        voice = speech.TEST_VOICES[i % 4]
        name = f"digit-{i}.wav"
        labels[name] = recording(voice, digit, 200 + i, folder / name)
    return labels


def video(pictures: list[Path], recording: Path, path: Path) -> None:
    """Show each picture for a second, with the recording as sound track."""
    with av.open(path, "w", options={"movflags": "faststart"}) as file:
        shown = file.add_stream("libx264", rate=8, options={"crf": "28"})
        shown.width = shown.height = SIDE
        shown.pix_fmt = "yuv420p"
        samples, rate = sf.read(recording, dtype="float32")
        heard = file.add_stream("aac", rate=rate, layout="mono")
        for source in pictures:
            frame = av.VideoFrame.from_image(Image.open(source).convert("RGB"))
            for _ in range(8):
                frame.pts = None
                file.mux(shown.encode(frame))
        file.mux(shown.encode(None))
        sound = av.AudioFrame.from_ndarray(samples[None, :], "fltp", "mono")
        sound.sample_rate = rate
        file.mux(heard.encode(sound))
        file.mux(heard.encode(None))


def main() -> None:
    """Make everything."""
    shown = picture(PICTURE_SEED, 2, HERE / "shapes.png")
    digit = recording(("flite", "rms"), "seven", 1, HERE / "seven.wav")
    command = recording(("flite", "rms"), "open the door", 2, HERE / "command.wav")
    expected = {
        "shapes.png": {"What is in the picture?": shown, "Describe the image.": shown},
        "seven.wav": {"What is said?": digit, "Transcribe the audio.": digit},
        "command.wav": {"What is said?": command, "Transcribe the audio.": command},
        "shapes.png+seven.wav": {
            "What do you see and hear?": both_answer(shown[0].lower() + shown[1:], digit)
        },
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    folder = HERE / "tiny_omni" / "holdout"
    labels = make_holdout(folder)
    (folder / "labels.json").write_text(json.dumps(labels, indent=2) + "\n")
    scenes_shown = [folder / f"scene-{seed}.png" for seed, _ in HOLDOUT_PICTURES[:3]]
    video(scenes_shown, HERE / "seven.wav", HERE / "clip.mp4")


if __name__ == "__main__":
    main()
