"""Where training keeps its files, and which package plays which part."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "appliance" / "train"
SOURCES = CACHE / "sources" / "train"
WORK = CACHE / "work"
ARTIFACTS = Path(__file__).resolve().parents[3] / "model_store" / "artifacts"

FIT_PACKAGES = (
    "wesnoth-1.16-music",
    "ufoai-music",
    "festvox-ru",
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-ru-wav",
)
"""Packages whose recordings the network is fitted to."""

DEV_PACKAGES = ("singularity-music", "asterisk-core-sounds-fr-wav")
"""Packages kept out of fitting: epochs are compared, and calibration is fitted, on these."""

SAMPLE_RATE_HZ = 32_000
"""Rate of everything the network sees; recordings at other rates are resampled to it."""

LABELS = ("click", "dropout", "glitch", "clipping", "hum", "noise_burst")
SHORT_LABELS = ("click", "dropout", "glitch", "noise_burst")
LONG_LABELS = ("clipping", "hum")
FRAME_HOP_SAMPLES = 320
"""10 ms at SAMPLE_RATE_HZ: the hop of the network's output frames."""
