"""The recordings that the evaluation set is cut from: ``evaluate_packages`` in ``scripts/train/fetch``."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

GAME_PACKAGES = ("widelands-data", "unknown-horizons", "lincity-ng-data")  # music, and effects in other folders
MUSIC_PACKAGES = ("nexuiz-music", "drascula-music", "asc-music", "pushover-data", "lomiri-sounds", *GAME_PACKAGES)
SPEECH_PACKAGE = "asterisk-core-sounds-es-wav"
KEYSTROKE_PACKAGE = "bucklespring-data"

# Candidates are compared on the first part, and figures are reported of the second. No recording is in both.
PARTS = ("choose", "report")

# These are in the committed clips and the demonstration, so they are not in the evaluation set.
HELD_BACK = frozenset(
    {
        "Call me.ogg", "Ubuntu.ogg", "Soul.ogg", "Bliss.ogg",
        "demo-nogo.wav", "demo-instruct.wav", "demo-echotest.wav", "demo-nomatch.wav", "vm-mailboxfull.wav",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """One recording of a package; ``member`` names a file inside ``path`` when ``path`` is an archive."""

    package: str
    name: str
    path: Path
    member: str | None = None

    def read(self, first_seconds: float = 0.0, seconds: float | None = None) -> tuple[np.ndarray, int]:
        """Return (num_samples, num_channels) float32, the whole with a peak below 1, and the sample rate in Hz."""
        master = _master(self)
        with soundfile.SoundFile(_opened(self)) as sound:
            sound.seek(int(first_seconds * master.rate_hz))
            count = -1 if seconds is None else int(seconds * master.rate_hz)
            audio = sound.read(count, dtype="float32", always_2d=True)
        # A lossy decoder overshoots; cutting the overshoot off would be a fault of our own.
        return (audio * np.float32(0.99 / master.peak) if master.peak > 0.99 else audio), master.rate_hz

    @property
    def seconds(self) -> float:
        return _master(self).seconds

    @property
    def is_effect(self) -> bool:
        """Whether it is a sound of a game, not its music."""
        return self.package in GAME_PACKAGES and "music" not in self.path.parts

    @property
    def part(self) -> str:
        """The part of the set that may use it. Takes of one effect, which differ by a number, go together."""
        name = Path(self.name).stem.rstrip("0123456789_-") if self.is_effect else self.name
        return PARTS[stable_seed("part", self.package, name) % 2]

    @property
    def is_hot(self) -> bool:
        """Whether the master itself was overloaded: it overshoots full scale more than once a second.

        Then nobody can say where it is clipped and where not, so it never counts for or against that label.
        """
        return _master(self).overshoots_per_second > 1.0


@dataclass(frozen=True)
class Master:
    """Facts about a recording as a whole."""

    rate_hz: int
    seconds: float
    peak: float
    overshoots_per_second: float


@cache
def _master(recording: Recording) -> Master:
    with soundfile.SoundFile(_opened(recording)) as sound:
        peak, overshoots, num_samples = 0.0, 0, 0
        for block in sound.blocks(1 << 18, dtype="float32", always_2d=True):
            peak = max(peak, float(np.max(np.abs(block), initial=0.0)))
            overshoots += int(np.sum(np.abs(block[:, 0]) > 1.0))
            num_samples += len(block)
        seconds = num_samples / sound.samplerate
        return Master(sound.samplerate, seconds, peak, overshoots / max(1.0, seconds))


def _opened(recording: Recording) -> Path | io.BytesIO:
    if recording.member is None:
        return recording.path
    with zipfile.ZipFile(recording.path) as archive:
        return io.BytesIO(archive.read(recording.member))


def cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "appliance" / "train"


@cache
def recordings(package: str) -> list[Recording]:
    """Return every recording of a package that is not held back, by name.

    Symbolic links are left out: they are repeats.
    """
    root = cache_root() / "sources" / "evaluate" / package
    if not (root / "VERSION").exists():
        raise FileNotFoundError(f"{root} is missing: run scripts/train/fetch first")
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix in {".ogg", ".wav", ".mp3"}:
            found.append(Recording(package, path.name, path))
        elif path.suffix == ".pk3":
            members = sorted(m for m in zipfile.ZipFile(path).namelist() if m.endswith(".ogg"))
            found += [Recording(package, Path(member).name, path, member) for member in members]
    return [recording for recording in found if recording.name not in HELD_BACK]


def package_version(package: str) -> str:
    return (cache_root() / "sources" / "evaluate" / package / "VERSION").read_text().strip()


def by_name(package: str, name: str) -> tuple[np.ndarray, int]:
    """Read one recording, held back or not, for the committed clips."""
    root = cache_root() / "sources" / "evaluate" / package
    return Recording(package, name, next(root.rglob(name))).read()


def resampled(audio: np.ndarray, rate_hz: int, target_hz: int) -> np.ndarray:
    """(num_samples, num_channels) at another rate."""
    if rate_hz == target_hz:
        return np.array(audio, dtype=np.float32)
    return soxr.resample(audio, rate_hz, target_hz).astype(np.float32)


def mono(audio: np.ndarray) -> np.ndarray:
    """(num_samples, 1): the mean of the channels."""
    return audio if audio.shape[1] == 1 else ((audio[:, :1] + audio[:, 1:2]) * np.float32(0.5))


def stable_seed(*parts: object) -> int:
    """Return a seed that depends only on the parts, not on the process (``hash`` is salted) or the order of work."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")
