"""``appliance report``: writes the report of a job as one HTML page, while the appliance runs."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.api.report_page import report_page
from appliance.cli.database import data_dir_option, open_database
from appliance.config import load_settings
from appliance.services.box import open_box
from appliance.services.inference.report import make_pictures, make_report
from appliance.services.inference.waveforms import Looking
from appliance.state import inference_jobs


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@data_dir_option
def report(job_id: str, output: Path, data_dir: Path | None) -> None:
    """Write the report of a job as one HTML page, which prints.

    It has pictures of the worst places if the appliance runs, since they are made from the recordings.
    """
    tenant_id = inference_jobs.tenant_of(open_database(data_dir), job_id)
    box = open_box(load_settings(data_dir=data_dir))
    made = make_report(box, tenant_id, job_id)
    page = report_page(made, make_pictures(Looking(box), tenant_id, made))
    try:
        output.write_text(page, "utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error
