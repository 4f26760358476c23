"""`python -m tests.bench.audio [denoise] [vad] [segment] [resample] [cost]`: the ear and its peers.

Prints tables; asserts nothing. Needs espeak-ng and flite (apt) and pesq and pystoi (pip); peers are
webrtc-noise-gain, pyrnnoise and noisereduce (pip), measured in the same run on the same clips.
What the speech and the noises are: `tests/bench/corpus.py`.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mullama_media.audio.chain import Chain
from mullama_media.audio.config import (
    AgcConfig,
    AudioStreamConfig,
    DenoiseConfig,
    GateConfig,
    VadConfig,
)
from mullama_media.audio.denoise import Denoiser
from mullama_media.audio.gain import Agc, Gate, Limiter
from mullama_media.audio.resample import Resampler
from mullama_media.audio.vad import EnergyVad, NeuralVad, WebRtcVad
from mullama_media.frames import Stage, Utterance, Vad
from tests.bench import corpus, metrics, peers

RATE = corpus.RATE
NOISES = [
    ("white", 5),
    ("white", 10),
    ("pink", 5),
    ("pink", 10),
    ("swelling", 5),
    ("babble", 5),
    ("babble", 10),
    ("pink", 40),
    ("clean", 0),
]
HEARD = [("clean", 0), ("pink", 5), ("pink", 0), ("white", 0), ("babble", 5)]


def denoised(samples: np.ndarray, **options: object) -> np.ndarray:
    stage = Denoiser(DenoiseConfig(**options), RATE)
    return np.concatenate([stage.process(samples), stage.flush()])


def denoise_table() -> None:
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError:
        sys.exit("the table of noise reduction needs: pip install pesq pystoi")
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "none (absolute)": lambda samples: samples,
        "ours, wiener": denoised,
        "ours, subtraction": lambda samples: denoised(samples, method="subtraction"),
        "ours, strength 0.5": lambda samples: denoised(samples, strength=0.5),
        **peers.denoisers(),
    }
    print("\nNoise reduction, mean of all clips: change of SI-SDR dB / PESQ-wb / STOI")
    print(f"{'':20}" + "".join(f"{kind + ' ' + str(snr):>20}" for kind, snr in NOISES))
    before: dict[tuple[str, int], np.ndarray] = {}
    for name, method in methods.items():
        cells = []
        delay = peers.delay_of(method, corpus.clips()[0].samples)
        for kind, snr in NOISES:
            rows = []
            for seed, clip in enumerate(corpus.clips()):
                noisy = corpus.mix(clip, kind, snr, seed)
                out = peers.early(method(noisy), delay)
                rows.append(
                    (
                        min(metrics.si_sdr(out, clip.samples), 60),
                        pesq(RATE, clip.samples, out, "wb"),
                        stoi(clip.samples, out, RATE),
                    )
                )
            mean = np.mean(rows, axis=0)
            base = before.setdefault((kind, snr), mean)
            shown = mean if base is mean else mean - base
            cells.append(f"{shown[0]:+.1f}/{shown[1]:+.2f}/{shown[2]:+.2f}")
        print(f"{name:20}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    print("(SI-SDR is cut at 60 dB, where clean clips are)")


def run_vad(vad: Vad, samples: np.ndarray) -> np.ndarray:
    """A probability every 10 ms, that of the frame which holds its middle."""
    size = vad.frame_samples
    answers = [
        vad.probability(samples[n : n + size]) or 0.0
        for n in range(0, samples.size - size + 1, size)
    ]
    middles = (np.arange(samples.size // corpus.FRAME) + 0.5) * corpus.FRAME
    return np.array(answers)[np.minimum((middles // size).astype(int), len(answers) - 1)]


def presence(samples: np.ndarray) -> np.ndarray:
    stage = Denoiser(DenoiseConfig(), RATE)
    stage.process(samples)
    stage.flush()
    answers = np.array(stage.presence)
    middles = (np.arange(samples.size // corpus.FRAME) + 0.5) * corpus.FRAME
    return answers[np.minimum((middles // stage.hop).astype(int), len(answers) - 1)]


def lags(probability: np.ndarray, active: np.ndarray, rises: bool) -> list[float]:
    """Milliseconds from each change in the truth to the answer's crossing 0.5, 500 at most."""
    said = (probability >= 0.5) == rises
    changes = np.flatnonzero(np.diff(active.astype(int)) == (1 if rises else -1)) + 1
    return [
        10.0 * (int(np.argmax(part)) if (part := said[n : n + 50]).any() else 50) for n in changes
    ]


def vad_table() -> None:
    detectors: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "energy, raw": lambda x: run_vad(EnergyVad(RATE), x),
        "energy, on denoised": lambda x: run_vad(EnergyVad(RATE), denoised(x)),
        "energy, in denoiser": presence,
        "webrtc 2, raw": lambda x: run_vad(WebRtcVad(2), x),
        "webrtc 2, denoised": lambda x: run_vad(WebRtcVad(2), denoised(x)),
        "webrtc 3, denoised": lambda x: run_vad(WebRtcVad(3), denoised(x)),
        "neural, raw": lambda x: run_vad(NeuralVad(), x),
        "neural, denoised": lambda x: run_vad(NeuralVad(), denoised(x)),
    }
    if peers.installed("RNNoise"):
        detectors["RNNoise's own"] = lambda x: peers.rnnoise(x)[1][: x.size // corpus.FRAME]
        detectors["energy, on RNNoise"] = lambda x: run_vad(EnergyVad(RATE), peers.rnnoise(x)[0])
    print("\nVoice activity, frames of 10 ms of all clips together:")
    print("ROC-AUC / false alarms at 95 % hits | onset, offset lag at 0.5 in ms, median (90 %)")
    for name, detector in detectors.items():
        cells = []
        for kind, snr in HEARD:
            scores, truth, on, off = [], [], [], []
            for seed, clip in enumerate(corpus.clips()):
                answer = detector(corpus.mix(clip, kind, snr, seed))
                answer = np.pad(answer, (0, max(clip.active.size - answer.size, 0)), "edge")
                scores.append(answer[: clip.active.size])
                truth.append(clip.active)
                on += lags(scores[-1], clip.active, rises=True)
                off += lags(scores[-1], clip.active, rises=False)
            joined, active = np.concatenate(scores), np.concatenate(truth)
            times = " ".join(f"{np.median(t):.0f}({np.quantile(t, 0.9):.0f})" for t in (on, off))
            area, alarms = metrics.auc(joined, active), metrics.fpr_at(joined, active)
            cells.append(f"{area:.3f}/{alarms:.2f} | {times}")
        if name.startswith("energy, raw"):
            print(f"{'':20}" + "".join(f"{kind + ' ' + str(snr):>28}" for kind, snr in HEARD))
        print(f"{name:20}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


def segment_table() -> None:
    print(
        "\nFrom samples to utterances, defaults, all clips: what of speech is in no utterance, how"
    )
    print("much else is in them (pre-roll and post-roll are half a second of each)")
    for backend in ("energy", "webrtc", "neural"):
        config = AudioStreamConfig(vad=VadConfig(backends=(backend,)))
        cells = []
        for kind, snr in [("clean", 0), ("pink", 10), ("pink", 5), ("pink", 0), ("babble", 10)]:
            speech = missed = extra = count = 0
            for seed, clip in enumerate(corpus.clips()):
                chain = Chain(config, RATE)
                events = []
                noisy = corpus.mix(clip, kind, snr, seed)
                for n in range(0, noisy.size, 320):
                    events += chain.push(noisy[n : n + 320])
                events += chain.finish()
                kept = np.zeros(noisy.size, bool)
                for event in events:
                    if isinstance(event, Utterance):
                        kept[event.start : event.end] = True
                        count += 1
                framed = kept.reshape(-1, corpus.FRAME).mean(axis=1) > 0.5
                speech += clip.active.sum()
                missed += (clip.active & ~framed).sum()
                extra += (framed & ~clip.active).sum()
            cells.append(
                f"{kind} {snr}: {count} utterances, missed {100 * missed / speech:.2f} %, "
                f"else {100 * extra / speech:.0f} %"
            )
        print(f"{backend:8}" + "; ".join(cells), flush=True)


def resample_table() -> None:
    print("\nResampling, streamed in 20 ms: SNR of 1 kHz, gain at 7 kHz, alias of 9 kHz; delay")
    for source, target in ((48000, 16000), (44100, 16000), (22050, 16000), (8000, 16000)):
        row = []
        for hz in (1000, 7000, 9000):
            if hz >= source / 2:
                row.append(None)
                continue
            tone = np.sin(2 * np.pi * hz * np.arange(2 * source) / source).astype(np.float32)
            stage = Resampler(source, target)
            step = source // 50
            parts = [stage.process(tone[n : n + step]) for n in range(0, tone.size, step)]
            out = np.concatenate([*parts, stage.flush()])[target // 2 : -target // 2]
            t = (np.arange(out.size) + target // 2) / target
            ideal = np.sin(2 * np.pi * hz * t)
            row.append((out, ideal))
        out, ideal = row[0]
        snr = 10 * np.log10((ideal**2).sum() / ((out - ideal) ** 2).sum())
        gain = row[1] and 10 * np.log10((row[1][0] ** 2).mean() * 2)
        alias = row[2] and 10 * np.log10((row[2][0].astype(np.float64) ** 2).mean() * 2 + 1e-20)
        delay = 1000 * Resampler(source, target).delay / source
        print(
            f"{source} -> {target}: {snr:.0f} dB, "
            + (f"{gain:+.2f} dB, " if gain is not None else "-, ")
            + (f"{alias:.0f} dB; " if alias is not None else "-; ")
            + f"{delay:.0f} ms"
        )


def timed(push: Callable[[np.ndarray], object], samples: np.ndarray, step: int) -> np.ndarray:
    """Microseconds of every chunk of `step` samples."""
    times = []
    for n in range(0, samples.size - step + 1, step):
        chunk = samples[n : n + step]
        began = time.perf_counter()
        push(chunk)
        times.append(time.perf_counter() - began)
    return 1e6 * np.array(times)


def _show(name: str, times: np.ndarray) -> None:
    middle, high, worst = np.quantile(times, [0.5, 0.99, 1])
    print(
        f"{name:28}{times.mean() / 20000:9.4f}{middle / 20000:9.4f}"
        f"{middle:8.0f}{high:8.0f}{worst:8.0f}"
    )


def cost_table() -> None:
    clip = np.concatenate([corpus.mix(c, "pink", 10, n) for n, c in enumerate(corpus.clips())])
    import soxr

    wide = soxr.resample(clip, RATE, 48000)
    print("\nCost in chunks of 20 ms: real-time factor (mean, median), us: median, 99 %, worst")
    stages: dict[str, tuple[Stage, np.ndarray]] = {
        "resample 48 -> 16 kHz": (Resampler(48000, RATE), wide),
        "denoise": (Denoiser(DenoiseConfig(), RATE), clip),
        "gate": (Gate(GateConfig(threshold_db=-40), RATE), clip),
        "agc": (Agc(AgcConfig(), RATE), clip),
        "limiter, working": (Limiter(-30, 5, RATE), clip),
    }
    for name, (stage, samples) in stages.items():
        _show(name, timed(stage.process, samples, samples.size * 320 // clip.size // 320 * 320))
    chains = {
        "chain, 16 kHz": (AudioStreamConfig(), RATE, clip),
        "chain, 48 kHz": (AudioStreamConfig(), 48000, wide),
        "chain, gate and webrtc too": (
            AudioStreamConfig(
                gate=GateConfig(enabled=True), vad=VadConfig(backends=("energy", "webrtc"))
            ),
            48000,
            wide,
        ),
        "chain, neural": (AudioStreamConfig(vad=VadConfig(backends=("neural",))), RATE, clip),
    }
    for name, (config, rate, samples) in chains.items():
        _show(name, timed(Chain(config, rate).push, samples, rate // 50))
    _memory(clip)


def _memory(clip: np.ndarray, hours: int = 3) -> None:
    chain = Chain(AudioStreamConfig(), RATE)

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * resource.getpagesize() / 2**20

    utterances = 0
    marks = []
    began = time.perf_counter()
    rounds = hours * 3600 * RATE // clip.size + 1
    for turn in range(rounds):
        for n in range(0, clip.size, 320):
            utterances += sum(hasattr(e, "ended_by") for e in chain.push(clip[n : n + 320]))
        if turn in (0, rounds // 2, rounds - 1):
            marks.append(resident())
    seconds = time.perf_counter() - began
    print(
        f"{hours} h in 20 ms chunks: {seconds:.0f} s, {utterances} utterances; resident "
        + ", ".join(f"{mark:.0f}" for mark in marks)
        + " MiB after one round, half, all"
    )


TABLES = {
    "denoise": denoise_table,
    "vad": vad_table,
    "segment": segment_table,
    "resample": resample_table,
    "cost": cost_table,
}


def main(*names: str) -> None:
    for name in names or TABLES:
        if name not in TABLES:
            sys.exit(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        TABLES[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
