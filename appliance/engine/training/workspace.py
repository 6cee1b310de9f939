"""The files that a training leaves behind, so that the next try goes on where this one ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from appliance.engine.training.head import Head


class Workspace:
    """A folder of one training. Each file is complete, or not there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def json(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returned when it was first called for this name."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(json.dumps(make()), encoding="utf-8")
            part.replace(path)
        return json.loads(path.read_text(encoding="utf-8"))

    def head(self, name: str, fit: Callable[[], Head]) -> Head:
        """Return the head that ``fit`` returned when it was first called for this name."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            head = fit()
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                arrays: dict[str, Any] = {f"w.{name}": weights for name, weights in head.weights.items()}
                np.savez(file, mean=head.mean, scale=head.scale, **arrays)
            part.replace(path)
        with np.load(path) as stored:
            weights = {key.removeprefix("w."): stored[key] for key in stored.files if key.startswith("w.")}
            return Head(stored["mean"], stored["scale"], weights)
