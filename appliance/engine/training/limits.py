"""How much a training needs. What asks for a training and the training itself check the same numbers."""

from __future__ import annotations

MIN_EVENTS = 10  # of each label, in the recordings for fitting
MIN_GROUPS = 5  # that have the label, in the recordings for fitting
MIN_HELD_OUT_EVENTS = 5
MIN_HELD_OUT_GROUPS = 3
MIN_REVIEWED_SECONDS = 30 * 60.0  # that are reviewed for the label and do not have it
WARN_EVENTS = 50
WARN_CLEAN_SECONDS = 3 * 3600.0
MAX_LABELS = 20
MAX_AUDIO_SECONDS = 200 * 3600.0
