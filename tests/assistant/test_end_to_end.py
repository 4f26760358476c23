"""From a voice in the air to a voice in the air: two sound cards, Whisper, a model, espeak-ng."""

import asyncio
import shutil
import subprocess
import time

import numpy as np
import pytest

from mullama_media import EngineParams, MultimodalProcessor, SamplingParams
from mullama_media.assistant import Asked, ChatParams, LiveChat
from mullama_media.assistant.events import Answer
from mullama_media.audio import files
from mullama_media.audio.resample import resample
from mullama_media.frames import AudioFrame
from mullama_media.io import Microphone, MicrophoneParams, Speaker, SpeakerParams
from mullama_media.speech import StreamingAudioProcessor, load_transcriber, load_voice
from mullama_media.speech.turns import Answered
from tests.io.pulse import RATE

QUESTION = "What is the capital of France?"


def spoken(text, folder):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng not installed, and scripts/apt.sh could not install it")
    path = folder / "question.wav"
    subprocess.run(["espeak-ng", "-s", "140", "-w", path, text], check=True)
    return (resample(files.read(path), RATE).samples * 32000).astype(np.int16)


def test_a_question_in_the_air_is_answered_in_the_air(sound_card, monkeypatch, tmp_path):
    question = spoken(QUESTION, tmp_path)
    sound_card.add_sink("voice")
    monkeypatch.setenv("PULSE_SINK", "voice")
    recording = tmp_path / "answer.raw"
    recorder = sound_card.record("voice", recording)
    params = ChatParams(max_tokens=16, sampling=SamplingParams(temperature=0))
    engine = EngineParams(n_ctx=512, n_parallel=2)
    device = {"device": "pulse", "sample_rate": RATE}

    async def main(processor, transcriber, speaker):
        ear = StreamingAudioProcessor(Microphone(MicrophoneParams(**device)))
        events = []
        async with LiveChat(
            ear, processor, params, transcriber=transcriber, voice=load_voice(), speaker=speaker
        ) as chat:
            async for event in chat:
                if not events:
                    assert not playing.poll()
                events.append(event)
                if isinstance(event, Answered):
                    break
        return events

    with (
        MultimodalProcessor.load("tiny-omni", engine_params=engine) as processor,
        load_transcriber() as transcriber,
        Speaker(SpeakerParams(**device, channels=1)).open() as speaker,
    ):
        transcriber.transcribe(AudioFrame(np.zeros(RATE, np.float32), RATE)).result()  # warm
        playing = sound_card.play(np.concatenate([np.zeros(3 * RATE, np.int16), question]))
        events = asyncio.run(asyncio.wait_for(main(processor, transcriber, speaker), 90))
        time.sleep(0.3)
    recorder.terminate()
    recorder.wait()
    playing.wait()
    (asked,) = [event for event in events if isinstance(event, Asked)]
    assert {"what", "capital", "france"} <= set(asked.text.lower().strip(" .?!").split())
    (answer,) = [event for event in events if isinstance(event, Answer)]
    assert "Paris" in answer.completion.text
    heard = np.fromfile(recording, np.int16).astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(heard) > 0.01)
    assert (loud[-1] - loud[0]) / RATE > 0.5
    with load_transcriber() as transcriber:
        said = transcriber.transcribe(AudioFrame(heard, RATE)).result().text
    assert "paris" in said.lower()
