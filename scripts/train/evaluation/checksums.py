"""The committed checksums of the set: whether the files here are the ones that the figures were measured on.

``python -m evaluation.checksums`` writes them anew, after a change of the set.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from evaluation.build import build, set_folder
from evaluation.ogg import HEADER
from evaluation.sources import MUSIC_PACKAGES, package_version

COMMITTED = Path(__file__).with_name("checksums.txt")
OGG_MARK = b"OggS"


def checksum(path: Path) -> str:
    """Return the first 16 digits of a file's SHA-256, without the serial numbers that Ogg writers draw by chance."""
    content = bytearray(path.read_bytes())
    position = 0 if content.startswith(OGG_MARK) else len(content)
    while content.startswith(OGG_MARK, position):
        num_segments = content[position + HEADER.size - 1]
        content[position + 14 : position + 18] = content[position + 22 : position + 26] = bytes(4)
        body = position + HEADER.size + num_segments
        position = body + sum(content[position + HEADER.size : body])
    return hashlib.sha256(content).hexdigest()[:16]


def verdict(folder: Path) -> str:
    """Return a sentence that says whether the set in ``folder`` is the committed one."""
    lines = [line.split() for line in COMMITTED.read_text().splitlines() if not line.startswith("#")]
    names = {name for name, _ in lines} | {path.name for path in folder.glob("*-*")}
    committed = dict(lines)
    differing = sum(
        not (folder / name).exists() or checksum(folder / name) != committed.get(name) for name in sorted(names)
    )
    if differing:
        return f"Of {len(names)} files of the set, {differing} differ from the committed checksums."
    return f"All {len(names)} files of the set are as the committed checksums say."


def main() -> None:
    build()
    versions = " ".join(f"{package} {package_version(package)}" for package in MUSIC_PACKAGES)
    paths = sorted([*set_folder().glob("*-*"), set_folder() / "truth.jsonl"])
    lines = [f"# {versions}", *(f"{path.name} {checksum(path)}" for path in paths)]
    COMMITTED.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
