"""A whole training: features, heads, calibration, evaluation, export. Each phase goes on from what it left behind."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.manifest import Manifest, read_manifest
from appliance.engine.models.session import Parallel, Session
from appliance.engine.models.store import CARD, GRAPH, MANIFEST, StoredModel
from appliance.engine.training.calibrate import Calibration, calibrate, detections_in
from appliance.engine.training.card import card
from appliance.engine.training.evaluate import evaluate, from_json, per_label, to_json
from appliance.engine.training.features import FeatureCache, Heard, Hearer
from appliance.engine.training.figures import calibration_error
from appliance.engine.training.fingerprint import copies
from appliance.engine.training.fit import fit_head, scores_of
from appliance.engine.training.graph import write_model
from appliance.engine.training.head import Head, probabilities
from appliance.engine.training.judge import tally, total
from appliance.engine.training.marks import Marked, frame_states
from appliance.engine.training.request import Phase, TrainingRecording, TrainingReport, TrainingRequest
from appliance.engine.training.split import Split, folds, joined, lacks, split
from appliance.engine.training.workspace import Workspace
from appliance.errors import AudioError, InvalidManifest, Stopped, TrainingRefused

NUM_FOLDS, HEADS_A_FOLD = 3, 2
PROGRESS_SECONDS = 1.0


def train(
    request: TrainingRequest,
    workspace: Path,
    progress: Callable[[Phase, float], None],
    is_cancelled: Callable[[], bool],
) -> TrainingReport:
    """Train a detector and return its report; its folder is ``workspace / "model"``.

    Called again with the same request and workspace, it goes on where it ended. ``progress`` gets the phase and the
    share of it that is done. Raises Stopped if cancelled, TrainingRefused if there is too little of something,
    InvalidManifest if the base model cannot be used, and AudioError if a recording cannot be decoded.
    """
    return _Training(request, Workspace(workspace), progress, is_cancelled).run()


class _Training:
    def __init__(
        self,
        request: TrainingRequest,
        workspace: Workspace,
        progress: Callable[[Phase, float], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._request = request
        self._workspace = workspace
        self._progress = progress
        self._is_cancelled = is_cancelled
        self._told_at = 0.0
        self._base = _model_in(request.base_model)
        if self._base.scoring.output.features is None:
            raise InvalidManifest(f"{self._base.manifest.id} gives no features: output.features is not set.")
        self._frame_ms = self._base.scoring.frame_hop_ms

    def run(self) -> TrainingReport:
        with Decoder(self._request.limits) as decoder:
            heard = self._hear(decoder)
            self._request = self._joined(heard)
            if sentences := lacks(self._request):
                raise TrainingRefused(" ".join(sentences))
            parts = split(self._request)
            marked = [self._marked(recording, heard[recording.id]) for recording in parts.fit]
            heads, calibrations, control = self._fit(marked)
            draft = self._workspace.folder / "draft"
            write_model(self._request, self._base, heads, calibrations, draft)
            rows = self._evaluate(_model_in(draft), parts, decoder, calibrations)
        self._tell("exporting", 0.0)
        shuffled = self._control(control, calibrations, parts, heard)
        report = self._report(parts, rows, heads, calibrations, draft, shuffled)
        return self._export(report, draft)

    def _tell(self, phase: Phase, share: float) -> None:
        """Report progress, now and then. Raises Stopped."""
        if self._is_cancelled():
            raise Stopped("The training was cancelled.")
        now = time.monotonic()
        if share == 0.0 or now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            self._progress(phase, min(share, 1.0))

    def _hear(self, decoder: Decoder) -> dict[str, Heard]:
        """Return the features of every recording, by its id."""
        request = self._request
        self._tell("preparing", 0.0)
        cache = FeatureCache(request.cache or self._workspace.folder / "features", request.cache_bytes)
        whole = max(1, sum(r.duration_ms for r in request.recordings))
        done_ms = 0
        heard = {}
        hearer: Hearer | None = None
        try:
            for recording in request.recordings:
                stored = cache.get(recording, self._base)
                if stored is None:
                    hearer = hearer or Hearer(self._base, decoder)
                    stored = self._heard(cache, hearer, recording, done_ms / whole, whole)
                heard[recording.id] = stored
                done_ms += recording.duration_ms
                self._tell("preparing", done_ms / whole)
        finally:
            if hearer:
                hearer.close()
        return heard

    def _heard(
        self, cache: FeatureCache, hearer: Hearer, recording: TrainingRecording, before: float, whole_ms: int
    ) -> Heard:
        def checkpoint(seconds: float) -> None:
            self._tell("preparing", before + 1000 * seconds / whole_ms)

        try:
            return cache.put(recording, self._base, lambda out: hearer.hear(recording.read, out, checkpoint))
        except AudioError as error:
            raise type(error)(f"The recording {recording.id}: {error}") from error

    def _joined(self, heard: dict[str, Heard]) -> TrainingRequest:
        """Return the request with the groups joined that have recordings with the same samples, or copies of one."""
        same: dict[str, list[str]] = {}
        for name, one in heard.items():
            same.setdefault(one.samples_sha256, []).append(name)
        names = list(heard)
        alike = [[names[a], names[b]] for a, b in copies([one.fingerprint for one in heard.values()])]
        recordings = joined(self._request.recordings, [*same.values(), *alike])
        return replace(self._request, recordings=recordings)

    def _marked(self, recording: TrainingRecording, heard: Heard) -> Marked:
        features = heard.features()
        return Marked(recording, features, frame_states(recording, self._request.labels, len(features), self._frame_ms))

    def _fit(self, marked: Sequence[Marked]) -> tuple[list[Head], list[Calibration], Head]:
        """Return the heads, each label's calibration, and a head for labels at wrong times.

        Each head leaves out a fold of the groups, and those that did not learn from a recording give its scores for the
        calibration. So these are means of heads like those that count later, which scores of single heads are not.
        """
        request, count = self._request, NUM_FOLDS * HEADS_A_FOLD + 1
        self._tell("fitting", 0.0)
        parts = folds([m.recording for m in marked], request.labels, NUM_FOLDS, request.seed)

        def fit(name: str, number: int, recordings: Sequence[Marked]) -> Head:
            return self._workspace.head(
                name,
                lambda: fit_head(
                    recordings,
                    request.seed * 1000 + number,
                    lambda share: self._tell("fitting", (number + share) / count),
                ),
            )

        left_out = [parts[number % NUM_FOLDS] for number in range(count - 1)]
        heads = [
            fit(f"head-{number}", number, [m for m in marked if m.recording.group not in groups])
            for number, groups in enumerate(left_out)
        ]
        control = fit("control", count - 1, self._shifted(marked))
        scored: list[tuple[TrainingRecording, np.ndarray]] = []
        for m in marked:
            others = [head for head, groups in zip(heads, left_out, strict=True) if m.recording.group in groups]
            scored.append((m.recording, np.mean([scores_of(head, m.features) for head in others], axis=0)))
        share = request.max_false_alarms_per_hour / len(request.labels)
        calibrations = [
            calibrate([(r, scores[:, column]) for r, scores in scored], label, self._frame_ms, share)
            for column, label in enumerate(request.labels)
        ]
        return heads, calibrations, control

    def _shifted(self, marked: Sequence[Marked]) -> list[Marked]:
        """Return the recordings with all that was said of them at another time, so that nothing can be learned."""
        rng = np.random.default_rng(self._request.seed)
        return [
            replace(m, states=np.roll(m.states, int(rng.uniform(0.2, 0.8) * len(m.states)), axis=0)) for m in marked
        ]

    def _evaluate(
        self, model: StoredModel, parts: Split, decoder: Decoder, calibrations: Sequence[Calibration]
    ) -> list[dict[str, Any]]:
        """Return the figures of each label on held-out recordings."""
        self._tell("evaluating", 0.0)

        def measure() -> list[Any]:
            tallies = evaluate(
                model,
                self._request.labels,
                parts.held_out,
                decoder,
                lambda share: self._tell("evaluating", share),
            )
            return [to_json(one) for one in tallies]

        tallies, low = map(from_json, self._workspace.json("evaluation", measure))
        rows = per_label(self._request, parts, tallies, low, [c.threshold for c in calibrations])
        peaks = [peak for groups in low.values() for t in groups.values() for peak in t.peaks]
        self._calibration_error = calibration_error(peaks)
        return rows

    def _control(self, head: Head, calibrations: Sequence[Calibration], parts: Split, heard: dict[str, Heard]) -> float:
        """Return the mean F1 on held-out recordings of a head that was fitted to labels at wrong times."""
        f1s = []
        scored = [(recording, scores_of(head, heard[recording.id].features())) for recording in parts.held_out]
        for column, (label, c) in enumerate(zip(self._request.labels, calibrations, strict=True)):
            tallies = [
                tally(
                    recording,
                    label,
                    detections_in(c.apply(scores[:, column]), label, self._frame_ms, c.threshold, c.min_duration_ms),
                )
                for recording, scores in scored
            ]
            f1s.append(total(tallies).f1)
        return float(np.mean(f1s))

    def _report(
        self,
        parts: Split,
        rows: list[dict[str, Any]],
        heads: Sequence[Head],
        calibrations: Sequence[Calibration],
        draft: Path,
        shuffled_f1: float,
    ) -> dict[str, Any]:
        request = self._request
        difference, identical = self._compared(heads, calibrations, _model_in(draft))
        return {
            "model": f"{request.name}@{request.version}",
            "base_model": self._base.manifest.id,
            "mode": request.mode,
            "labels": list(request.labels),
            "seed": request.seed,
            "data_sha256": _data_sha256(request),
            "max_false_alarms_per_hour": request.max_false_alarms_per_hour,
            "split": {
                "fit": _side(parts.fit),
                "held_out": _side(parts.held_out),
                "left_out_copies": [recording.id for recording in parts.left_out],
            },
            "macro_f1": round(float(np.mean([row["f1"] for row in rows])), 4),
            "calibration_error": round(self._calibration_error, 4),
            "per_label": rows,
            "controls": {
                "shuffled_f1": round(shuffled_f1, 4),
                "graph_difference": difference,
                "base_scores_identical": identical,
            },
            "sha256": hashlib.sha256((draft / GRAPH).read_bytes()).hexdigest(),
        }

    def _compared(
        self, heads: Sequence[Head], calibrations: Sequence[Calibration], model: StoredModel
    ) -> tuple[float, bool | None]:
        """Return how far the graph's scores of noise are from the trainer's, and whether the base's are identical."""
        output = self._base.scoring.output
        slots = [Session(one, "cpu", 1, Parallel(1, 1)).slots[0] for one in (self._base, model)]
        for slot in slots:
            slot.windows[0] = 0.1 * np.random.default_rng(0).standard_normal(slot.windows.shape[1:])
        features = slots[0].run(1, str(output.features))
        scores = np.mean([probabilities(head.logits(features).astype(np.float64)) for head in heads], axis=0)
        wanted = np.stack([c.apply(scores[..., i]) for i, c in enumerate(calibrations)], axis=-1)
        new = slots[1].score(1)
        difference = float(np.abs(new[..., -len(calibrations) :] - wanted).max())
        if self._request.mode == "replace":
            return difference, None
        return difference, bool(np.array_equal(new[..., : -len(calibrations)], slots[0].score(1)))

    def _export(self, report: dict[str, Any], draft: Path) -> TrainingReport:
        folder = self._workspace.folder / "model"
        folder.mkdir(exist_ok=True)
        for name in (GRAPH, MANIFEST):
            (folder / name).write_bytes((draft / name).read_bytes())
        (folder / CARD).write_text(card(report, _model_in(draft).scoring.licence), encoding="utf-8")
        self._progress("exporting", 1.0)
        return TrainingReport(report, folder)


def _model_in(folder: Path) -> StoredModel:
    manifest = read_manifest(folder / MANIFEST)
    if not isinstance(manifest, Manifest):
        raise InvalidManifest(f"{manifest.id} is for {manifest.task} and scores no windows.")
    return StoredModel(manifest, folder)


def _side(recordings: Sequence[TrainingRecording]) -> dict[str, Any]:
    return {
        "recordings": len(recordings),
        "groups": len({recording.group for recording in recordings}),
        "hours": round(sum(recording.duration_ms for recording in recordings) / 3_600_000, 4),
    }


def _data_sha256(request: TrainingRequest) -> str:
    """Return a checksum of what was trained on: the recordings' checksums and all that was said of them."""
    rows = [
        {key: value for key, value in asdict(recording).items() if key not in ("id", "read")}
        for recording in sorted(request.recordings, key=lambda r: (r.sha256, r.id))
    ]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
