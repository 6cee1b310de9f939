"""The model card: what the model is, what it was trained on, what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.labels import LABELS
from training.places import DEV_PACKAGES, FIT_PACKAGES, SOURCES

# As /usr/share/doc/<package>/copyright of each package states for its recordings.
LICENCES = {
    "wesnoth-1.16-music": "GPL-2+",
    "ufoai-music": "per file: GPL-2+, GPL-2, CC-BY-SA-3.0, CC-BY-3.0, public domain",
    "festvox-ru": "BSD-like (recordings), GPL-3 (packaging)",
    "asterisk-core-sounds-en-wav": "CC-BY-SA-3.0",
    "asterisk-core-sounds-fr-wav": "CC-BY-SA-3.0",
    "asterisk-core-sounds-ru-wav": "CC-BY-SA-3.0",
    "singularity-music": "CC-BY-SA-3.0",
    "hedgewars-data": "GPL-2, sounds GFDL-1.3 and CC-BY-SA-3.0",
    "openarena-data": "GPL-2+",
    "wesnoth-1.16-data": "GPL-2+",
    "supertux-data": "GPL-3+, music GPL-2+",
    "megaglest-data": "CC-BY-SA-3.0",
    "ktuberling-data": "GPL-2+",
    "sonic-pi-samples": "CC0-1.0",
    "frozen-bubble-data": "GPL-2",
    "pingus-data": "GPL-2+",
    "freedroidrpg-data": "GPL-2+",
    "supertuxkart-data": "per file: CC-BY-SA-3.0, CC-BY-SA-4.0, CC-BY-3.0, CC0, GPL-2, GPL-2+, public domain",
    "redeclipse-data": "per file: CC-BY-SA-3.0, CC-BY-3.0, CC0-1.0",
    "lmms-common": "GPL-2+",
    "hydrogen-drumkits": "per kit: GPL-2, GPL-2+, CC-BY-SA-3.0, CC-BY-3.0, CC0",
}

MEANINGS = {
    "click": "an impulsive click or pop, one sample to a few milliseconds; a point",
    "dropout": "a gap in sound that goes on before and after, 20 to 400 ms",
    "glitch": "a repeated, skipped, reversed, shuffled, garbled or concealed block, 10 to 300 ms",
    "clipping": "overload, hard or soft, at any level, 0.2 s and longer",
    "hum": "50 or 60 Hz mains hum with harmonics, a second and longer",
    "noise_burst": "short static: white, pink, band-limited or crackle, 20 to 500 ms",
}

EVALUATION_MARK = "## Evaluation"


def _package_row(package: str, use: str) -> str:
    version = (SOURCES / package / "VERSION").read_text().strip()
    return f"| {package} | {version} | {LICENCES[package]} | {use} |"


def fitted_on(packages: Sequence[str] = FIT_PACKAGES) -> list[str]:
    """Return the table's rows of packages that networks are fitted to."""
    return [_package_row(package, "fitting") for package in packages]


def development_packages() -> list[str]:
    return [_package_row(package, "development: comparing runs, calibration") for package in DEV_PACKAGES]


def development(figures: dict) -> str:
    """Return the section of the figures on the development split, by which a network of 0.1 is calibrated."""
    alarms = ", ".join(f"{label} {count}" for label, count in figures["alarms"].items())
    return f"""## Development figures
Measured on rendered clips of the development packages. The network was not fitted to them, but the calibration was,
and their faults come from the same injector as in training. So these figures flatter the model. Threshold 0.5, merge
200 ms, minimum 50 ms.

{figures["table"]}

On clean audio of the same packages (recordings, plain or through a lossy coder, and rendered lookalikes):
{figures["alarms_per_hour"]:.1f} false alarms an hour on {figures["clean_hours"]:.1f} h ({alarms}).

Expected calibration error of event maxima, calibrated on one half of the development split and measured on the other:
{figures["calibration_error"]:.3f}. The curves were shifted in logits by {_shifts(figures)}: the highest
macro-F1 with at most {figures["most_alarms_per_hour"]:g} false alarms an hour on this clean audio."""


def choice(figures: dict) -> str:
    """Return the section of the figures on the part ``choose``, by which a student is calibrated."""
    alarms = ", ".join(f"{label} {count}" for label, count in figures["alarms"].items())
    return f"""## Figures that it was chosen by
On the part `choose` of the evaluation set and on spare recordings of the packages above, by which the weights were
chosen and the calibration was fitted. So these figures flatter the model; those under "Evaluation" are of other
recordings. Threshold 0.5, merge 200 ms, minimum 50 ms.

{figures["table"]}

{figures["alarms_per_hour"]:.1f} false alarms an hour on {figures["clean_hours"]:.1f} h of clean recordings ({alarms}).
The curves were shifted in logits by {_shifts(figures)}: the highest
macro-F1 with at most {figures["most_alarms_per_hour"]:g} false alarms an hour there."""


def _shifts(figures: dict) -> str:
    return ", ".join(f"{label} {shift:+.1f}" for label, shift in figures["shifts"].items())


def write_card(path: Path, graph: str, packages: Sequence[str], measured: str) -> None:
    """Write the card. An evaluation that is already in it is of another graph, so its section is left to be filled.

    graph : what the graph holds. packages : rows of the table of recordings. measured : a section of figures.
    """
    path.write_text(f"""# artifacts: detector of faults in recordings

Finds six kinds of fault in recordings of any kind, with times and a confidence that can be read as a probability. It is
made for quality control of archives, calls and streams. It does not measure how pleasant a recording is.

| label | what it is |
|---|---|
{chr(10).join(f"| {label} | {MEANINGS[label]} |" for label in LABELS)}

## Graph
Input `waveform` float32 (batch, samples), mono at 32 kHz. Outputs: `scores` (batch, frames of 10 ms, labels),
calibrated; `embedding` (batch, 128), the mean of the last hidden layer. {graph}

## Training data
Recordings of Debian packages, and faults, lookalikes and coders applied to them by `scripts/train/training`:

| package | version | license of the recordings | used for |
|---|---|---|---|
{chr(10).join(packages)}

A short fault's target is at least 70 ms long, so that a client's minimum duration of 50 ms does not hide it. A skip,
which has no length, is reported as the 50 ms at its seam.

{measured}

{EVALUATION_MARK}
To be filled with the tables of `scripts/train/evaluate`: other recordings, with faults by separate code.

## Limits
The model gets the mean of a recording's channels: a fault that is in both with opposite phase cancels out and is not
found. Sounds that imitate a fault on purpose can be reported. A skip or a concealed loss inside steady sound leaves
little to find.
""")
