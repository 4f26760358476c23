"""What tiny-omni is taught: the words it hears, the shapes it sees, and how it is asked."""

from __future__ import annotations

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMANDS = (
    "turn on the light",
    "turn off the light",
    "play the music",
    "stop the music",
    "open the door",
    "close the door",
    "call my mother",
    "what time is it",
    "set a timer",
    "take a picture",
)
PHRASES = DIGITS + COMMANDS
NOTHING_HEARD = "nothing is said"
NOTHING_SEEN = "an empty picture"

COLOURS = {
    "red": (220, 30, 35),
    "orange": (250, 140, 10),
    "yellow": (250, 220, 30),
    "green": (35, 160, 60),
    "blue": (35, 80, 215),
    "purple": (135, 45, 170),
    "black": (20, 20, 22),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")

SYSTEM_DEFAULT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
SYSTEMS = (SYSTEM_DEFAULT, "You are a helpful assistant.", "Answer briefly.", None)
SYSTEM_WEIGHTS = (0.7, 0.14, 0.08, 0.08)

HEAR = (
    "What is said?",
    "Transcribe the audio.",
    "What did the speaker say?",
    "What do you hear?",
    "Transcribe this recording.",
    "What does the voice say?",
    "Write down what you hear.",
    "What was said in the recording?",
    "Listen and repeat.",
    "Transcribe the speech.",
    "what did they say",
    "Please transcribe.",
)
SEE = (
    "What is in the picture?",
    "Describe the image.",
    "What do you see?",
    "What is in this image?",
    "What does the picture show?",
    "Describe this picture.",
    "What is shown here?",
    "Describe what you see.",
    "Which shapes are there?",
    "What is this?",
    "what's in the image",
    "Please describe the picture.",
)
BOTH = (
    "What do you see and hear?",
    "Describe the picture and transcribe the recording.",
    "What is in the picture, and what is said?",
    "Describe the image and the audio.",
    "What does the picture show and what does the voice say?",
)
# Never trained on; the evaluation asks them to show that wording is not learnt by heart.
HELD_OUT_HEAR = ("Can you tell me what the person said?", "Transcribe what you hear.")
HELD_OUT_SEE = ("Tell me what is in the image.", "What can you see in this picture?")


def scene_answer(shapes: list[tuple[str, str]]) -> str:
    """Name (colour, shape) pairs, given from left to right, as the model should."""
    named = [
        f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape}" for colour, shape in shapes
    ]
    return " and ".join(named) if named else NOTHING_SEEN


def picture_answer(shapes: list[tuple[str, str]]) -> str:
    """What the model should say about a picture alone: the scene, with a capital letter."""
    scene = scene_answer(shapes)
    return scene[0].upper() + scene[1:]


def both_answer(scene: str, speech: str) -> str:
    """Combine the two single answers into the one for a picture and a recording together."""
    return f"The picture shows {scene}. The voice says: {speech}."


def chat(user: str, system: str | None) -> str:
    """Render one user turn with SmolLM2's own ChatML template, ready for the answer."""
    head = f"<|im_start|>system\n{system}<|im_end|>\n" if system is not None else ""
    return f"{head}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
