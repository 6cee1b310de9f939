"""The folders of training's files, and which packages of recordings are used for what."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "appliance" / "train"
SOURCES = CACHE / "sources" / "train"
WORK = CACHE / "work"
MODEL_STORE = Path(__file__).resolve().parents[3] / "model_store"
ARTIFACTS = MODEL_STORE / "artifacts"

# The network is fitted to recordings of these packages.
FIT_PACKAGES = (
    "wesnoth-1.16-music",
    "ufoai-music",
    "festvox-ru",
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-ru-wav",
    "hedgewars-data",
    "openarena-data",
    "wesnoth-1.16-data",
    "supertux-data",
    "megaglest-data",
    "ktuberling-data",
    "sonic-pi-samples",
    "frozen-bubble-data",
    "pingus-data",
)

# More recordings for the student: dense clips are made of them, and what it hears falsely in them is mined.
MORE_PACKAGES = (
    "freedroidrpg-data",
    "supertuxkart-data",
    "redeclipse-data",
    "lmms-common",
    "hydrogen-drumkits",
)

# These packages are kept out of fitting: epochs are compared, and calibration is fitted, on them.
DEV_PACKAGES = ("singularity-music", "asterisk-core-sounds-fr-wav")

# The packages of each pool of recordings, and which of each five recordings of a package are in it. The pool "spare" is
# kept out of fitting, to choose a student by.
POOLS = {
    "fit": (FIT_PACKAGES, range(5)),
    "more": (MORE_PACKAGES, range(4)),
    "spare": (MORE_PACKAGES, range(4, 5)),
    "dev": (DEV_PACKAGES, range(5)),
}
