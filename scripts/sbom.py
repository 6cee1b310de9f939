"""``sbom.py FOLDER``: prints what a bundle contains and under which licenses, as CycloneDX 1.5 in JSON.

MinIO, and the package with Caddy, have the Go modules inside them that their programs were built from. Go notes no
licenses in a program, so these have none here.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from appliance import ROOT

# What ``go version -m`` prints lies between these marks in a program that Go built.
BUILD_STARTS = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
BUILD_ENDS = bytes.fromhex("f932433186182072008242104116d8f2")


def main() -> None:
    """Describe every wheel, MinIO and every model of the folder."""
    folder = Path(sys.argv[1])
    components = [wheel(file) for file in sorted((folder / "wheels").glob("*.whl"))]
    components.append(minio(folder / "bin" / "minio"))
    components += [model(file) for file in sorted((folder / "model_store").glob("*/*/manifest.toml"))]
    itself = {"type": "application", "name": "appliance", "version": version_of_appliance(folder)}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": itself | licenses("Apache-2.0", is_expression=True)},
        "components": components,
    }
    json.dump(document, sys.stdout, indent=2)


def wheel(file: Path) -> dict:
    """Return the component of a Python package, as its metadata describes it."""
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        headers = HeaderParser().parsestr(archive.read(name).decode())
        modules = [
            one for name in archive.namelist() if name.endswith("/caddy") for one in go_modules(archive.read(name))
        ]
    package = {"type": "library", "name": headers["Name"], "version": headers["Version"]}
    package["purl"] = f"pkg:pypi/{headers['Name'].lower().replace('_', '-')}@{headers['Version']}"
    if modules:
        package["components"] = modules
    if expression := headers["License-Expression"]:
        return package | hashed(file) | licenses(expression, is_expression=True)
    classifiers = [line.rpartition(" :: ")[2] for line in headers.get_all("Classifier", []) if "License ::" in line]
    text = (headers["License"] or "").strip().partition("\n")[0]
    return package | hashed(file) | licenses(", ".join(classifiers) or text or "see the package", is_expression=False)


def minio(file: Path) -> dict:
    """Return the component of the storage server, with the version of its source."""
    pin = (ROOT / "scripts" / "requirements" / "minio.version").read_text().strip()
    server = {
        "type": "application",
        "name": "minio",
        "version": pin,
        "purl": f"pkg:golang/github.com/minio/minio@{pin}",
    }
    return (
        server
        | hashed(file)
        | licenses("AGPL-3.0-or-later", is_expression=True)
        | {"components": go_modules(file.read_bytes())}
    )


def go_modules(program: bytes) -> list[dict]:
    """Return a component for each Go module that a program was built from; none if Go did not build it."""
    build = program.partition(BUILD_STARTS)[2].partition(BUILD_ENDS)[0].decode("utf-8", "replace")
    modules: list[list[str]] = []
    for kind, *module in (line.split("\t") for line in build.splitlines()):
        if kind == "dep":
            modules.append(module)
        elif kind == "=>":  # the module before it was replaced by this one
            modules[-1] = module
    return [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:golang/{name}@{version}",
            "properties": [{"name": "go.sum", "value": checksum} for checksum in checksums],
        }
        for name, version, *checksums in modules
    ]


def model(file: Path) -> dict:
    """Return the component of a model, as its manifest describes it."""
    manifest = tomllib.loads(file.read_text())
    component = {"type": "machine-learning-model", "name": manifest["name"], "version": manifest["version"]}
    return component | licenses(manifest["licence"], is_expression=False)


def hashed(file: Path) -> dict:
    """Return the field with the SHA-256 of a file."""
    with file.open("rb") as content:
        return {"hashes": [{"alg": "SHA-256", "content": hashlib.file_digest(content, "sha256").hexdigest()}]}


def licenses(text: str, *, is_expression: bool) -> dict:
    """Return the field with a license: an SPDX expression, or a name."""
    return {"licenses": [{"expression": text}] if is_expression else [{"license": {"name": text}}]}


def version_of_appliance(folder: Path) -> str:
    """Return the version in the folder's setup.cfg."""
    lines = (folder / "setup.cfg").read_text().splitlines()
    return next(line.partition(" = ")[2] for line in lines if line.startswith("version = "))


if __name__ == "__main__":
    main()
