"""Exports, each read by a program that is not the appliance's, and the same bytes when made again."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import crowsetta
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from appliance.cli.__main__ import main
from appliance.engine.decode.png import from_png
from appliance.services.inference.exports.formats import FORMATS, ExportFormat
from appliance.services.inference.exports.qc import EBU, MOVIELABS, NETFLIX
from tests.contract.test_reviews import Job, steps_wav
from tests.support.appliances import Api, Appliance
from tests.support.browser import new_page, open_browser

COLUMNS = [
    *("job_id", "file_id", "filename", "artifact_type", "start_ms", "end_ms", "confidence", "review", "reviewed_type"),
    *("model", "threshold", "merge_window_ms", "min_duration_ms", "source"),
]
HOSTILE = "../<img onerror=x> a\tb.wav"


@pytest.fixture(scope="module")
def job(appliance: Appliance) -> Job:
    """Three files: one with a rejected and a relabelled detection, one with a hostile name, one without detections."""
    job = Job(appliance.api, [0.08, 0.1, 0.12], [], [0.01])
    job.files[1] = appliance.api.send(job.id, steps_wav([0.2]), name=HOSTILE)
    appliance.api.finished_job(job.id)
    job.review(0, "rejected")
    job.review(2, "confirmed", reviewed_type="hum", reviewed_start_ms=1800, reviewed_end_ms=2300)
    return job


def export(job: Job, export_format: str, **query: Any) -> bytes:
    path = f"{job.path}/export"
    answers = [job.api.response("GET", path, params={"format": export_format} | query) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[0].content == answers[1].content
    assert answers[0].headers["Content-Disposition"].startswith(f"attachment; filename=job-{job.id}.")
    return answers[0].content


def rows(job: Job) -> list[dict[str, Any]]:
    """The rows of a table, by the other calls of the API."""
    summary = job.api.job(job.id)
    common = {"job_id": job.id, "model": f"loud-frames@{summary['model_version']}"} | summary["config"]
    return [
        common
        | {"file_id": item["file_id"], "filename": item["original_filename"]}
        | item["detection"]
        | {
            "review": item["review"] and item["review"]["verdict"],
            "reviewed_type": item["review"] and item["review"]["reviewed_type"],
        }
        for item in job.queue(limit=200)["items"]
    ]


def test_json_lines_are_read_by_arrow(job: Job) -> None:
    content = export(job, "jsonl")
    assert pyarrow.json.read_json(io.BytesIO(content)).to_pylist() == [
        json.loads(line) for line in content.splitlines()
    ]
    assert [json.loads(line) for line in content.splitlines()] == rows(job)
    assert [*json.loads(content.splitlines()[0])] == COLUMNS


def test_csv_is_read_by_arrow(job: Job) -> None:
    table = pyarrow.csv.read_csv(io.BytesIO(export(job, "csv")))
    assert table.column_names == COLUMNS
    expected = [row | {name: row[name] or "" for name in ("review", "reviewed_type")} for row in rows(job)]
    assert [{name: row[name] for name in COLUMNS} for row in table.to_pylist()] == [
        {name: row[name] for name in COLUMNS} for row in expected
    ]


def test_parquet_is_read_by_arrow(job: Job) -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(export(job, "parquet")))
    assert table.column_names == COLUMNS
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["start_ms"], kinds["confidence"]) == ("int64", "float")
    assert kinds["artifact_type"].startswith("dictionary")
    assert table.schema.metadata[b"job_id"] == job.id.encode()
    assert table.schema.metadata[b"model"].startswith(b"loud-frames@")
    for row, expected in zip(table.to_pylist(), rows(job), strict=True):
        assert row == expected | {name: pytest.approx(expected[name]) for name in ("confidence", "threshold")}


def events(job: Job) -> list[tuple[float, float, str]]:
    """What is in the first file after the reviews: the second of three, and the third as it was corrected."""
    second = job.detections()[1]
    return [(second["start_ms"] / 1000, second["end_ms"] / 1000, "loud"), (1.8, 2.3, "hum")]


def test_audacity_labels_are_read_by_crowsetta(job: Job, tmp_path: Path) -> None:
    content = export(job, "audacity", file_id=job.files[0])
    assert content.decode() == "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in events(job))
    track = tmp_path / "take.txt"
    track.write_bytes(content)
    read = crowsetta.formats.seq.AudSeq.from_file(track)
    assert [*zip(read.start_times, read.end_times, read.labels, strict=True)] == events(job)


def test_raven_tables_are_read_by_crowsetta(job: Job, tmp_path: Path) -> None:
    content = export(job, "raven", file_id=job.files[0])
    first, *_ = content.decode().splitlines()
    assert first == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tCommon Name\t"
        "Species Code\tConfidence\tBegin Path\tFile Offset (s)"
    )
    table = tmp_path / "take.selections.txt"
    table.write_bytes(content)
    boxes = crowsetta.formats.bbox.Raven.from_file(table, annot_col="Common Name").to_bbox()
    assert [(box.onset, box.offset, box.label) for box in boxes] == events(job)
    assert {(box.low_freq, box.high_freq) for box in boxes} == {(0, 11_025)}  # half the rate of the model


def test_an_archive_has_a_track_for_each_file_and_leads_nowhere_else(job: Job, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(export(job, "raven"))) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert len(names) == len({name.lower() for name in names}) == 3
    assert all("/" not in name and ".." not in name and "<" not in name for name in names), names
    assert {path.name for path in tmp_path.iterdir()} == {*names}
    hostile = next(path for path in tmp_path.iterdir() if "onerror" in path.name).read_text().splitlines()[1]
    assert len(hostile.split("\t")) == 12


def test_rttm_follows_the_rules_of_its_readers(job: Job) -> None:
    """dscore splits at white space, wants 10 fields of the type SPEAKER, and durations above 0."""
    lines = [line.split() for line in export(job, "rttm").decode().splitlines()]
    assert all(len(fields) == 10 and fields[0] == "SPEAKER" for fields in lines)
    turns = [(float(f[3]), float(f[4]), f[7], f[1]) for f in lines]
    expected = [(start, round(end - start, 3), label, "take_0.wav") for start, end, label in events(job)]
    assert turns[:2] == expected
    assert all(onset >= 0 and duration > 0 for onset, duration, _, _ in turns)
    assert {fields[8] for fields in lines} <= {f"{row['confidence']:.4f}" for row in rows(job)}


def test_label_studio_gets_predictions_annotations_and_its_configuration(job: Job) -> None:
    tasks = json.loads(export(job, "labelstudio"))
    assert len(tasks) == 3
    first = tasks[0]
    assert first["data"]["audio"] == "/data/local-files/?d=take%200.wav"
    (prediction,) = first["predictions"]
    assert prediction["model_version"].startswith("loud-frames@")
    detections = job.detections()
    assert prediction["score"] == max(d["confidence"] for d in detections)
    for region, detection in zip(prediction["result"], detections, strict=True):
        assert (region["from_name"], region["to_name"], region["type"]) == ("labels", "audio", "labels")
        start, end = detection["start_ms"] / 1000, detection["end_ms"] / 1000
        assert region["value"] == {"start": start, "end": end, "channel": 0, "labels": ["loud"]}
        assert region["original_length"] == job.api.file(job.id, job.files[0])["duration_ms"] / 1000
    (annotation,) = first["annotations"]
    assert [region["value"]["labels"] for region in annotation["result"]] == [["hum"]]
    assert "annotations" not in tasks[1]
    ids = [region["id"] for task in tasks for region in task["predictions"][0]["result"]]
    assert len(ids) == len(set(ids))
    config = export(job, "labelstudio-config").decode()
    assert '<Labels name="labels" toName="audio">' in config
    assert '<Label value="hum"/>' in config
    own = json.loads(export(job, "labelstudio", audio_prefix="http://nas.local/"))
    assert own[2]["data"]["audio"] == "http://nas.local/" + quote(HOSTILE)


def test_the_report_for_quality_control_has_every_file_and_only_codes_that_exist(job: Job) -> None:
    report = json.loads(export(job, "qc"))
    assert (report["format"], report["version"], report["job_id"]) == ("appliance-qc", 1, job.id)
    assert [item["item_id"] for item in report["items"]] == [job.files[0], job.files[2], job.files[1]]
    first: list[dict[str, Any]] = report["items"][0]["results"]
    assert [(r["check"], r["timecode_in"]) for r in first] == [("loud", "00:00:00.928"), ("hum", "00:00:01.800")]
    assert first[1]["netflix"] == {"code": "006", "title": "Hum/Buzz"}
    assert first[0]["netflix"] is first[0]["ebu"] is None
    assert {code for code, _ in NETFLIX.values()} == {"001", "003", "004", "006", "016", "018"}
    assert {item["id"] for item in EBU.values()} == {"0231B", "0078B"}
    assert {*MOVIELABS.values()} == {"AUDIO/CLIPPING", "AUDIO/ARTIFACTS"}


@pytest.mark.parametrize("export_format", FORMATS)
def test_the_command_writes_the_same_bytes(
    job: Job, appliance: Appliance, tmp_path: Path, export_format: ExportFormat
) -> None:
    target = tmp_path / "out"
    assert command(appliance, job.id, "--format", export_format, "--output", str(target)).exit_code == 0
    assert target.read_bytes() == export(job, export_format)


def test_the_command_writes_to_standard_output_and_names_what_is_wrong(job: Job, appliance: Appliance) -> None:
    assert next(csv.reader(io.StringIO(command(appliance, job.id, "--format", "csv").stdout))) == COLUMNS
    assert "no such inference job" in command(appliance, "nobody").output
    assert "cannot be written" in command(appliance, job.id, "--output", os.devnull + "/x").output


def command(appliance: Appliance, *arguments: str) -> Result:
    options = ["--data-dir", str(appliance.data_dir)]
    return CliRunner().invoke(main, ["export", *options, *arguments], env=appliance.settings)


def test_what_cannot_be_exported_is_refused_by_name(api: Api, other: Api, job: Job) -> None:
    path = f"{job.path}/export"
    assert "format" in api.get(path, 400)["detail"]
    assert "format" in api.get(path, 400, params={"format": "xlsx"})["detail"]
    assert "verdict" in api.get(path, 400, params={"format": "csv", "verdict": "good"})["detail"]
    other.get(path, 404, params={"format": "csv"})
    api.get(path, 404, params={"format": "csv", "file_id": "nobody"})
    failed = api.send(job.id, b"no audio")
    api.finished_file(job.id, failed)
    assert api.get(path, 409, params={"format": "csv", "file_id": failed})["code"] == "not_ready"
    empty = api.make_job()
    assert api.response("GET", f"/api/v1/inference-jobs/{empty}/export", params={"format": "csv"}).text == (
        ",".join(COLUMNS) + "\n"
    )


def test_the_report_is_one_page_in_which_a_file_name_stays_text(job: Job) -> None:
    answer = job.api.response("GET", f"{job.path}/report")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    pictures = re.findall(r'<img alt="Spectrogram around [a-z]+" src="data:image/png;base64,([^"]+)">', answer.text)
    assert len(pictures) == answer.text.count("<img") > 0
    assert from_png(b64decode(pictures[0])).shape[0] == 256
    assert "&lt;img onerror=x&gt;" in answer.text
    assert answer.text.count("<section>") == 3
    assert "0.00 (0.00 to 0.66)" in " ".join(answer.text.split())  # Wilson, 0 of 2
    assert "hum<td>00:00:01.800<td>00:00:02.300" in answer.text


def test_the_report_prints_to_a_pdf_with_its_pictures(job: Job, appliance: Appliance, tmp_path: Path) -> None:
    """The command writes the page, and a browser prints it."""
    page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    options = ["--data-dir", str(appliance.data_dir), "--output", str(page)]
    assert CliRunner().invoke(main, ["report", job.id, *options], env=appliance.settings).exit_code == 0
    assert page.read_text() == job.api.response("GET", f"{job.path}/report").text
    with open_browser() as browser:
        tab = new_page(browser)
        tab.set_content(page.read_text())
        tab.pdf(path=pdf)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Subtype /Image") >= page.read_text().count("<img")
