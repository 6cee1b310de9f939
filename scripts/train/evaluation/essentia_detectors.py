"""Essentia's detectors on files, in the shape that ``appliance detect --format json`` prints. For comparison only.

Runs in its own environment (``pip install --pre essentia``), with every parameter at its default. A detector without an
extent marks points; marks of one detector closer than 50 ms are one detection, so that a fault is not counted more than
once.
"""

from __future__ import annotations

import json
import sys

import essentia
import essentia.standard as es
import numpy as np
import soundfile
import soxr

essentia.log.infoActive = False
essentia.log.warningActive = False

RATE_HZ = 44_100  # what the detectors are tuned for, and the loader resamples to
JOIN_SECONDS = 0.05
DETECTOR_OF_LABEL = {
    "click": "ClickDetector",
    "dropout": "GapsDetector",
    "glitch": "DiscontinuityDetector",
    "clipping": "SaturationDetector",
    "hum": "HumDetector",
    "noise_burst": "NoiseBurstDetector",
}


def spans_of(label: str, audio: np.ndarray) -> list[tuple[float, float]]:
    """(start, end) in seconds. audio : (num_samples,) float32 at RATE_HZ."""
    if label == "hum":
        try:
            *_unused, starts, ends = es.HumDetector()(audio)
        except RuntimeError:  # the recording is shorter than what it averages over, about ten seconds
            return []
        return list(zip(starts.tolist(), ends.tolist(), strict=True))
    detector = getattr(es, DETECTOR_OF_LABEL[label])()
    # NoiseBurstDetector names no frame of its own; 512 by 256 is what its neighbors use.
    parameters = detector.parameterNames()
    frame_size = int(detector.paramValue("frameSize")) if "frameSize" in parameters else 512
    hop_size = int(detector.paramValue("hopSize")) if "hopSize" in parameters else 256
    spans: list[tuple[float, float]] = []
    for number, frame in enumerate(
        es.FrameGenerator(audio, frameSize=frame_size, hopSize=hop_size, startFromZero=True)
    ):
        answer = detector(frame)
        if label in ("glitch", "noise_burst"):
            marks = answer[0] if label == "glitch" else answer
            times = [(number * hop_size + float(mark)) / RATE_HZ for mark in marks]
            spans += [(time, time + 1 / RATE_HZ) for time in times]
        else:
            spans += [(float(start), float(end)) for start, end in zip(*answer, strict=False)]
    return spans


def joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] <= JOIN_SECONDS:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def read(path: str) -> np.ndarray:
    """(num_samples,) float32 at RATE_HZ. Essentia's loader knows no Opus, and libsndfile no M4A."""
    if path.endswith(".m4a"):
        return es.MonoLoader(filename=path, sampleRate=RATE_HZ)()
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate_hz, RATE_HZ).astype(np.float32)


def detections(path: str) -> dict:
    audio = read(path)
    found = [
        {"artifact_type": label, "start_ms": int(start * 1000), "end_ms": int(end * 1000) + 1, "confidence": 1.0}
        for label in DETECTOR_OF_LABEL
        for start, end in joined(spans_of(label, audio))
    ]
    return {"file": path, "duration_ms": len(audio) * 1000 // RATE_HZ, "detections": found, "error": None}


if __name__ == "__main__":
    json.dump({"files": [detections(path) for path in sys.argv[1:]]}, sys.stdout)
