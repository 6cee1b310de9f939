"""``appliance models``: lists, shows, adds, removes and verifies models."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.database import data_dir_option, open_database
from appliance.config import load_settings
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.engine.models.store import CARD, ModelStore
from appliance.engine.registration import CheckLimits, add_model, check_model
from appliance.errors import ModelError
from appliance.services import models as service
from appliance.state.database import Database


@click.group()
def models() -> None:
    """The model store: list, show, add, remove, verify."""


@models.command("list")
def list_() -> None:
    """List all models, newest version first."""
    table = Table("model", "task", "labels or language", "license")
    for model in _store().models():
        manifest = model.manifest
        names = manifest.language if isinstance(manifest, SpeechManifest) else ", ".join(manifest.reported_labels)
        table.add_row(manifest.id, manifest.task, names, manifest.licence)
    Console().print(table)
    for fault in _store().faults():
        click.echo(fault, err=True)


@models.command()
@click.argument("model_id")
def show(model_id: str) -> None:
    """Show a model's manifest and card."""
    model = _store().resolve(model_id)
    click.echo(model.manifest.model_dump_json(indent=2, exclude_none=True))
    card = model.folder / CARD
    if card.is_file():
        click.echo(f"\n{card.read_text(encoding='utf-8')}")


@models.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_dir_option
def add(folder: Path, data_dir: Path | None) -> None:
    """Check the model in FOLDER in a confined process, and copy the files of its manifest into the store."""
    manifest = add_model(_store(), folder, _limits()).manifest
    if Database.of(load_settings(data_dir=data_dir)).path.exists():  # before the first start there is no audit log
        service.note_added(open_database(data_dir), manifest.id)
    click.echo(f"Added {manifest.id}.")


@models.command()
@click.argument("model_id")
@data_dir_option
def remove(model_id: str, data_dir: Path | None) -> None:
    """Remove a version, <name>@<version>. One that a setting names, or that work needs, is refused."""
    service.remove_model(load_settings(data_dir=data_dir), open_database(data_dir), _store(), model_id)
    click.echo(f"Removed {model_id}.")


@models.command()
def verify() -> None:
    """Check every model of the store: manifest, checksum, graph."""
    failed = _store().faults()
    for model in _store().models():
        try:
            check_model(model, _limits())
            click.echo(f"ok    {model.manifest.id}")
        except ModelError as error:
            failed.append(str(error))
    for fault in failed:
        click.echo(f"FAIL  {fault}", err=True)
    raise SystemExit(1 if failed else 0)


def _limits() -> CheckLimits:
    return CheckLimits.from_settings(load_settings())


def _store() -> ModelStore:
    return ModelStore(load_settings().model_store)
