"""What the network takes and returns: the labels, the sample rate of its input, and the hop of its output."""

from __future__ import annotations

LABELS = ("click", "dropout", "glitch", "clipping", "hum", "noise_burst")
SHORT_LABELS = ("click", "dropout", "glitch", "noise_burst")
LONG_LABELS = ("clipping", "hum")

SAMPLE_RATE_HZ = 32_000  # recordings at other rates are resampled to it
FRAME_HOP_SAMPLES = 320  # 10 ms: the hop of the network's output frames
