"""Make the committed clips: ``tests/clips/`` and the demonstration recording ``appliance/samples/demo.flac``.

Their sources may be redistributed (CC0 and CC BY-SA 3.0; see the LICENCE.md beside them) and are held back from the
evaluation set. Their faults are plain ones: they show that the product works, not how well the model does.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from evaluation.faults import INJECTORS, Injected, Injector, UnsuitableError
from evaluation.labels import Event
from evaluation.placing import put_faults, rms
from evaluation.sources import SPEECH_PACKAGE, by_name, mono, package_version, resampled, stable_seed

REPOSITORY = Path(__file__).resolve().parents[3]
MUSIC_PACKAGE = "lomiri-sounds"
SPEECH_CREDIT = "© 2003–2010 Allison Smith, CC BY-SA 3.0; funded by Digium, Inc."
MUSIC_CREDIT = "© 2013 Canonical Ltd., CC BY-SA 3.0; `Call me.ogg`: anonymous, CC0 1.0"
RATE_HZ = 24_000

# One recording per line: file name, package, where it starts, how long it is, the faults that it gets.
TEST_CLIPS = [
    ("click", MUSIC_PACKAGE, "Bliss.ogg", 0.2, 5.0, ["click", "click"]),
    ("dropout", SPEECH_PACKAGE, "demo-echotest.wav", 0.0, 6.0, ["dropout", "dropout"]),
    ("glitch", MUSIC_PACKAGE, "Ubuntu.ogg", 0.0, 5.0, ["glitch", "glitch"]),
    ("clipping", MUSIC_PACKAGE, "Soul.ogg", 2.0, 5.0, ["clipping"]),
    ("hum", SPEECH_PACKAGE, "demo-nomatch.wav", 0.0, 5.0, ["hum"]),
    ("noise_burst", MUSIC_PACKAGE, "Call me.ogg", 9.5, 5.0, ["noise_burst", "noise_burst"]),
    ("clean_speech", SPEECH_PACKAGE, "vm-mailboxfull.wav", 0.0, 5.0, []),
    ("clean_music", MUSIC_PACKAGE, "Soul.ogg", 9.0, 4.0, []),
]
DEMO = [
    (SPEECH_PACKAGE, "demo-nogo.wav", 0.0, 7.0, ["click", "dropout", "glitch"]),
    (MUSIC_PACKAGE, "Call me.ogg", 0.5, 8.0, ["noise_burst", "clipping"]),
    (SPEECH_PACKAGE, "demo-instruct.wav", 0.0, 8.0, ["hum", "noise_burst"]),
    (MUSIC_PACKAGE, "Ubuntu.ogg", 5.0, 7.0, ["dropout", "glitch", "click"]),
]

# The plain kinds of each label, and the shortest of them in seconds.
PLAIN = {
    "click": ({"click_impulse", "click_decaying_pop"}, 0.0),
    "dropout": ({"dropout_hard_mute", "dropout_soft_edge_mute"}, 0.06),
    "glitch": ({"glitch_stutter"}, 0.08),
    "clipping": ({"clipping_hard"}, 0.8),
    "hum": ({"hum_buzz"}, 2.5),
    "noise_burst": ({"noise_burst_white", "noise_burst_band"}, 0.1),
}


def _plain(label: str) -> Injector:
    kinds, shortest_seconds = PLAIN[label]

    def inject(audio: np.ndarray, rate_hz: int, start: int, rng: np.random.Generator) -> Injected:
        damaged, event = INJECTORS[label](audio, rate_hz, start, rng)
        changed = np.abs(damaged[: len(audio)] - audio[: len(damaged)])
        faint = label == "click" and np.max(changed) < 0.8 * np.max(np.abs(audio))
        if label in ("noise_burst", "hum"):
            first, last = int(event.start_seconds * rate_hz), int(event.end_seconds * rate_hz)
            faint = rms(changed[first:last]) < (0.7 if label == "noise_burst" else 0.4) * rms(audio[first:last])
        if event.mechanism not in kinds or event.end_seconds - event.start_seconds < shortest_seconds or faint:
            raise UnsuitableError
        return damaged, event

    return inject


def _cut(package: str, name: str, offset_seconds: float, seconds: float) -> np.ndarray:
    """(num_samples, 1) at RATE_HZ, faded in and out over 10 ms, at a common loudness."""
    audio, rate_hz = by_name(package, name)
    first = int(offset_seconds * rate_hz)
    audio = resampled(mono(audio[first : first + int(seconds * rate_hz)]), rate_hz, RATE_HZ)
    ramp = np.linspace(0, 1, RATE_HZ // 100, dtype=np.float32)[:, None]
    audio[: len(ramp)] *= ramp
    audio[-len(ramp) :] *= ramp[::-1]
    return audio * np.float32(min(0.08 / max(rms(audio), 1e-4), 0.7 / float(np.max(np.abs(audio)))))


def _faulty(audio: np.ndarray, labels: list[str], *seed: object) -> tuple[np.ndarray, list[Event]]:
    for attempt in range(30):
        rng = np.random.default_rng(stable_seed("committed clips", *seed, attempt))
        damaged, events = put_faults(audio, RATE_HZ, labels, rng, {label: _plain(label) for label in PLAIN})
        if len(events) == len(labels):
            return damaged, events
    raise RuntimeError(f"no place for {labels} in {seed}")


def _as_truth(events: list[Event], offset_seconds: float = 0.0) -> list[dict]:
    return [
        {
            "artifact_type": event.label,
            "start_ms": int((event.start_seconds + offset_seconds) * 1000),
            "end_ms": int(np.ceil((event.end_seconds + offset_seconds) * 1000)),
        }
        for event in events
    ]


def _write(path: Path, audio: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE_HZ, subtype="PCM_16", format="FLAC", compression_level=1.0)


def write_test_clips(folder: Path) -> None:
    truth = {}
    for stem, package, name, offset_seconds, seconds, labels in TEST_CLIPS:
        audio, events = _faulty(_cut(package, name, offset_seconds, seconds), labels, stem)
        _write(folder / f"{stem}.flac", audio)
        truth[f"{stem}.flac"] = _as_truth(events)
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    lines = [(f"{stem}.flac", package, name) for stem, package, name, _offset, _seconds, _labels in TEST_CLIPS]
    (folder / "LICENCE.md").write_text(_license("Test clips", lines))


def write_demo(folder: Path) -> None:
    pieces, events, offset_seconds = [], [], 0.0
    silence = np.zeros((RATE_HZ // 4, 1), dtype=np.float32)
    for turn, (package, name, start_seconds, seconds, labels) in enumerate(DEMO):
        audio, faults = _faulty(_cut(package, name, start_seconds, seconds), labels, "demo", turn)
        events += _as_truth(faults, offset_seconds)
        pieces += [audio, silence]
        offset_seconds += (len(audio) + len(silence)) / RATE_HZ
    _write(folder / "demo.flac", np.concatenate(pieces))
    truth = {"file": "demo.flac", "detections": sorted(events, key=lambda event: event["start_ms"])}
    (folder / "demo.json").write_text(json.dumps(truth, indent=2) + "\n")
    lines = [("demo.flac", package, name) for package, name, _start, _seconds, _labels in DEMO]
    (folder / "LICENCE.md").write_text(_license("Demonstration recording", lines))


def _license(title: str, lines: list[tuple[str, str, str]]) -> str:
    rows = "\n".join(f"| `{clip}` | {package} | `{source}` |" for clip, package, source in lines)
    return f"""# {title}: sources and license

Each file is an excerpt of a recording in a Debian package, converted to mono at {RATE_HZ // 1000} kHz, with faults put
in on purpose by `scripts/train/evaluation/clips.py`. The files are therefore modified versions. They are
distributed under **CC BY-SA 3.0** (<https://creativecommons.org/licenses/by-sa/3.0/>).

| file | package | recording |
|---|---|---|
{rows}

| package | version | author and license of the recordings used |
|---|---|---|
| {SPEECH_PACKAGE} | {package_version(SPEECH_PACKAGE)} | {SPEECH_CREDIT} |
| {MUSIC_PACKAGE} | {package_version(MUSIC_PACKAGE)} | {MUSIC_CREDIT} |
"""


if __name__ == "__main__":
    write_test_clips(REPOSITORY / "tests" / "clips")
    write_demo(REPOSITORY / "appliance" / "samples")
