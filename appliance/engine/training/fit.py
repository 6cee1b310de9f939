"""Fits one head to marked recordings: half of what it sees are events, the rest what it is wrong about, and any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from appliance.engine.training.head import REACH, Adam, Head, backward, forward, initial, probabilities, standardized
from appliance.engine.training.marks import ABSENT, PRESENT, UNKNOWN, UNKNOWN_WEIGHT, Marked

CROP_FRAMES = 400
BATCH = 12
PEAK_RATE = 3e-3
DROPPED = 0.15  # share of the features that a crop does not show, so that none is relied on alone
MINED_AT = (0.4, 0.7)  # of the steps
MINED_HOURS = 1.0  # that are searched each time
BLOCK_FRAMES = 4096  # that are scored at once

Place = tuple[int, int]  # number of the recording, first frame


def num_steps(recordings: Sequence[Marked]) -> int:
    """Return how long to fit: longer for more events and more time, up to where the trials gained no more."""
    events = sum(len(marked.recording.events) for marked in recordings)
    minutes = sum(marked.recording.duration_ms for marked in recordings) / 60_000
    return int(np.clip(60 + events + minutes, 80, 600))


@dataclass
class _Sampler:
    """Draws crops. ``hard`` are places at which the head was wrong about what is absent."""

    recordings: Sequence[Marked]
    rng: np.random.Generator
    hard: list[Place]

    def __post_init__(self) -> None:
        num_labels = self.recordings[0].states.shape[1]
        self._events: list[list[Place]] = [[] for _ in range(num_labels)]
        self._absent: list[Place] = []
        for number, marked in enumerate(self.recordings):
            present = marked.states == PRESENT
            firsts = np.flatnonzero(present & ~np.roll(present, 1, axis=0))
            for place in firsts:
                self._events[place % num_labels].append((number, int(place // num_labels)))
            known = (marked.states == ABSENT).any(axis=1)
            self._absent += [(number, first) for first in np.flatnonzero(known)[:: CROP_FRAMES // 2].tolist()]
        self._labels = [label for label, events in enumerate(self._events) if events]

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the features (BATCH, CROP_FRAMES, num_features) and the states of a batch; beyond ends they are 0."""
        first = self.recordings[0]
        features = np.zeros((BATCH, CROP_FRAMES, first.features.shape[1]), np.float32)
        states = np.full((BATCH, CROP_FRAMES, first.states.shape[1]), 255, np.uint8)
        for row in range(BATCH):
            number, place = self._place()
            marked = self.recordings[number]
            last = max(0, len(marked.features) - CROP_FRAMES)
            start = int(np.clip(place - self.rng.integers(CROP_FRAMES), 0, last))
            part = slice(start, start + CROP_FRAMES)
            size = len(marked.states[part])
            features[row, :size], states[row, :size] = marked.features[part], marked.states[part]
        return features, states

    def _place(self) -> Place:
        kind = self.rng.random()
        if self._labels and (kind < 0.5 or not self._absent):
            events = self._events[self._labels[self.rng.integers(len(self._labels))]]
            return events[self.rng.integers(len(events))]
        if self.hard and kind < 0.75:
            return self.hard[self.rng.integers(len(self.hard))]
        return self._absent[self.rng.integers(len(self._absent))] if self._absent else (0, 0)


def weights_of(states: np.ndarray) -> np.ndarray:
    """Return how much each frame and label counts: present and absent fully, unknown a little, unsure not at all."""
    return np.where(
        states == PRESENT, 1.0, np.where(states == ABSENT, 1.0, UNKNOWN_WEIGHT * (states == UNKNOWN))
    ).astype(np.float32)


def fit_head(recordings: Sequence[Marked], seed: int, checkpoint: Callable[[float], None] = lambda _: None) -> Head:
    """Return a head. ``checkpoint`` gets the share that is done and may raise. The same seed gives the same head."""
    rng = np.random.default_rng(seed)
    mean, scale = _moments(recordings)
    weights = initial(len(mean), recordings[0].states.shape[1], rng)
    head, adam = Head(mean, scale, weights), Adam(weights)
    sampler = _Sampler(recordings, rng, [])
    balance = _balance(recordings)
    steps = num_steps(recordings)
    mining = {int(share * steps) for share in MINED_AT}
    for step in range(steps):
        checkpoint(step / steps)
        if step in mining:
            sampler.hard = hardest(head, recordings, rng)
        features, states = sampler.draw()
        x = standardized(features, mean, scale)
        x *= rng.random((BATCH, 1, x.shape[2]), np.float32) > DROPPED
        logits, kept = forward(weights, x)
        present = states == PRESENT
        counts = weights_of(states) * np.where(present, balance, np.float32(1.0))
        gradient = (probabilities(logits) - present) * counts / np.maximum(counts.sum(axis=(0, 1)), 1.0)
        rate = PEAK_RATE * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        adam.step(backward(weights, kept, gradient.astype(np.float32)), rate)
    return head


def hardest(head: Head, recordings: Sequence[Marked], rng: np.random.Generator) -> list[Place]:
    """Return the places of the highest scores for labels that are absent there, a few for each label."""
    found: list[list[tuple[float, Place]]] = [[] for _ in range(recordings[0].states.shape[1])]
    left = int(MINED_HOURS * 360_000)
    for number in rng.permutation(len(recordings)).tolist():
        marked = recordings[number]
        scores = np.where(marked.states == ABSENT, scores_of(head, marked.features), 0.0)
        for start in range(0, len(scores), CROP_FRAMES):
            part = scores[start : start + CROP_FRAMES]
            for label, frame in enumerate(part.argmax(axis=0).tolist()):
                found[label].append((float(part[frame, label]), (number, start + frame)))
        left -= len(scores)
        if left <= 0:
            break
    most = max(8, min(64, len(found[0]) // 8))
    return [place for places in found for score, place in sorted(places, reverse=True)[:most] if score > 0]


def scores_of(head: Head, features: np.ndarray) -> np.ndarray:
    """Return the scores of a whole recording: (num_frames, num_labels), in blocks that know what is around them."""
    parts = []
    for start in range(0, len(features), BLOCK_FRAMES):
        first = max(0, start - REACH)
        block = features[first : start + BLOCK_FRAMES + REACH]
        logits = head.logits(block[np.newaxis])[0]
        parts.append(probabilities(logits[start - first :][:BLOCK_FRAMES]))
    return np.concatenate(parts)


def _moments(recordings: Sequence[Marked]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each feature and one over its spread, over frames of all recordings."""
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for marked in recordings:  # one after another: all of ten hours would fill the memory
        sample = marked.features[::10].astype(np.float64)
        count += len(sample)
        total, squares = total + sample.sum(axis=0), squares + (sample**2).sum(axis=0)
    mean = total / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return mean.astype(np.float32), (1 / (spread + 1e-3)).astype(np.float32)


def _balance(recordings: Sequence[Marked]) -> np.ndarray:
    """Return how much more a frame of each label counts than one without it, (num_labels,): less for long events."""
    present = sum((marked.states == PRESENT).sum(axis=0) for marked in recordings)
    events = np.maximum(
        1,
        sum(
            ((marked.states == PRESENT) & (np.roll(marked.states, 1, axis=0) != PRESENT)).sum(axis=0)
            for marked in recordings
        ),
    )
    frames = np.maximum(1.0, present / events)  # of an event
    return np.clip(np.sqrt(CROP_FRAMES / frames) / 2, 1.0, 8.0).astype(np.float32)
