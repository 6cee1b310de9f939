"""A stand-in for `appliance detect` while that is being written: the engine's rules, driven file by file."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import onnxruntime
import soundfile
import soxr

from appliance.engine.events import DetectionConfig, find_detections
from appliance.engine.manifest import read_manifest
from appliance.engine.track import TrackBuilder
from appliance.engine.windows import cut_windows


def read(path: Path) -> tuple[np.ndarray, int]:
    try:
        return soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        with av.open(str(path)) as container:
            planar = av.AudioResampler(format="fltp")
            blocks = [f.to_ndarray() for frame in container.decode(audio=0) for f in planar.resample(frame)]
            return np.concatenate(blocks, axis=1).T, container.streams.audio[0].rate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-folder", type=Path, required=True)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.model_folder / "manifest.toml")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("DETECT_THREADS", "1"))
    graph = arguments.model_folder / "model.onnx"
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    config, source, items = DetectionConfig(threshold=arguments.threshold), manifest.input, []
    for path in arguments.files:
        audio, rate_hz = read(path)
        mono = audio[:, 0] if audio.shape[1] == 1 else (audio[:, 0] + audio[:, 1]) * np.float32(0.5)
        mono = soxr.resample(mono, rate_hz, source.sample_rate_hz).astype(np.float32)
        track = TrackBuilder(source.window_seconds * 1000, manifest.frame_hop_ms, len(manifest.labels))
        for number, window in enumerate(cut_windows([mono], source.window_samples, source.hop_samples)):
            scores = session.run([manifest.output.name], {source.name: window[None]})[0][0]
            if manifest.output.activation == "sigmoid":
                scores = 1 / (1 + np.exp(-scores))
            track.add(number * source.hop_seconds * 1000, np.atleast_2d(scores))
        duration_ms = len(audio) / rate_hz * 1000
        found = find_detections(track.finish(duration_ms), manifest, config)
        items.append({"file": str(path), "duration_ms": int(duration_ms), "error": None,
                      "detections": [asdict(detection) for detection in found]})  # fmt: skip
    print(json.dumps({"files": items}))


if __name__ == "__main__":
    main()
