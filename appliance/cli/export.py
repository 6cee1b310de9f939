"""``appliance export``: writes the results of a job for other programs, also while the appliance runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import click

from appliance.cli.database import data_dir_option, open_database
from appliance.config import load_settings
from appliance.services.box import open_box
from appliance.services.inference.exports.formats import FORMATS, ExportFormat
from appliance.services.inference.exports.source import open_export
from appliance.state import inference_jobs
from appliance.state.verdicts import FileVerdict


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "--format", "export_format", type=click.Choice(get_args(ExportFormat)), default="jsonl", show_default=True
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: stdout]")
@click.option("--file", "file_id", help="Only the file of this id.")
@click.option("--verdict", type=click.Choice(get_args(FileVerdict)), help="Only files with this verdict.")
@click.option(
    "--audio-prefix",
    default="/data/local-files/?d=",
    show_default=True,
    help="Goes before a file's name in the URLs of Label Studio.",
)
@data_dir_option
def export(
    job_id: str,
    export_format: ExportFormat,
    output: Path | None,
    file_id: str | None,
    verdict: FileVerdict | None,
    audio_prefix: str,
    data_dir: Path | None,
) -> None:
    """Export the completed files of a job.

    audacity and raven have a file for each recording: without --file, the output is a ZIP archive of them.
    """
    database = open_database(data_dir)
    box = open_box(load_settings(data_dir=data_dir))
    source = open_export(
        box,
        inference_jobs.tenant_of(database, job_id),
        job_id,
        file_id=file_id,
        verdict=verdict,
        audio_prefix=audio_prefix,
    )
    write = FORMATS[export_format].write
    if output is None:
        write(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as file:
            write(source, file)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error
