#!/usr/bin/env python
"""Makes the pictures of docs/console.md over a real appliance with toy models and the bundled detector, in Chromium.

``.venv/bin/python -m scripts.picture_console alike training`` makes those whose names begin so; without a name, all
except those of transcripts and of signing in. With ``--folder`` they go there, in both themes, to be looked at.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import soundfile
from av.filter import Graph
from playwright.sync_api import Page, expect

from appliance.services.box import TRAINED
from tests.console.pages import Console, console
from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.support import toy_models
from tests.support.appliances import ROOT, Appliance, make_models, running_appliance, wait_for
from tests.support.browser import open_browser
from tests.support.toy_recordings import loud_wav
from tests.support.trainings import REPORT, add_training, begin_training

DEMO = ROOT / "appliance" / "samples" / "demo.flac"
IMAGES = ROOT / "docs" / "images"
SIZE: Any = {"width": 1280, "height": 900}
DARK = ("review-dark", "training-dark")
RULES = [
    {"artifact_type": "dropout", "measure": "longest_ms", "over": 100, "within_ms": None, "verdict": "fail"},
    {"artifact_type": "clipping", "measure": "total_ms", "over": 2000, "within_ms": 60_000, "verdict": "review"},
]


class Scene:
    """An appliance with one of everything, and a tab of somebody who may do everything."""

    def __init__(self, appliance: Appliance) -> None:
        self.appliance, self.api = appliance, appliance.api
        api = self.api
        scopes = [option for scope in ("write", "admin") for option in ("--scope", scope)]
        self.key = appliance.command("keys", "create", "anna", *scopes, "--data-dir", str(appliance.data_dir))
        api.call("PUT", "/api/v1/verdict-rules", 200, json={"rules": RULES})
        samples, rate = soundfile.read(DEMO, dtype="float32", always_2d=True)
        self.job, self.other = api.make_job("artifacts"), api.make_job("artifacts", min_duration_ms=120)
        for number in (1, 2, 3):
            content = _wav(samples[number * 200 :] / number, rate)
            for job in (self.job, self.other):
                api.send(job, content, name=f"concert/take {number}.wav")
        for job in (self.job, self.other):
            api.finished_job(job, seconds=250)
        self.dataset = new_dataset(api, name="Concerts", artifact_types=[{"name": "dropout"}])
        content = _wav(samples[200:], rate)
        self._annotate(self.dataset, content, "concert/take 1.wav", "dropout", [2540, 25_740])
        add_audio(api, self.dataset, _wav(samples[: 20 * rate], rate), "concert/begin.wav")
        village = new_dataset(api, name="Village recordings", artifact_types=[{"name": "knock"}])
        for number in range(4):
            part = _wav(samples[number * rate : (number + 20) * rate], rate)
            self._annotate(village, part, f"village/{number}.wav", "knock", [2000])
        choices = {
            "dataset_ids": [village.rpartition("/")[2]],
            "mode": "append",
            "max_false_alarms_per_hour": 10,
            "labels": ["knock"],
        }
        begin_training(appliance.data_dir, 1, "creaks", phase="fitting", **choices | {"labels": ["creak"]})
        self.training = add_training(appliance.data_dir, 1, "knocks", REPORT, **choices)
        toy_models.frame_model(appliance.data_dir / TRAINED / "tenant-1", name="knocks")
        used = api.make_job("knocks")
        api.finished_file(used, api.send(used, loud_wav(), name="village/morning.wav"))

    def _annotate(self, dataset: str, content: bytes, name: str, label: str, starts: list[int]) -> None:
        audio = f"{dataset}/audio/{add_audio(self.api, dataset, content, name)}"
        for start in starts:
            span = {"artifact_type": label, "start_ms": start, "end_ms": start + 120}
            self.api.post(f"{audio}/annotations", span, 201)

    def review(self, tab: Console) -> None:
        """Decide about four detections; the fifth is selected, and zoomed to."""
        tab.open(f"#/jobs/{self.job}/review")
        tab.page.locator("tr[aria-rowindex='1']").click()
        for number, key in enumerate("cx4c"):
            tab.page.keyboard.press(key)
            expect(tab.page.locator(f"tr[aria-rowindex='{number + 2}']")).to_have_attribute("aria-selected", "true")
        tab.page.keyboard.press("z")
        drawn(tab.page)

    def keys(self, tab: Console) -> None:
        """The dialog of the keys."""
        tab.open(f"#/jobs/{self.job}/review")
        tab.page.locator("tr[aria-rowindex='5']").click()
        tab.page.keyboard.press("?")

    def alike(self, tab: Console) -> None:
        """What sounds like the selected detection."""
        tab.open(f"#/jobs/{self.job}/review?state=unreviewed")
        tab.page.locator("tr[aria-rowindex='3']").click()
        drawn(tab.page)
        tab.page.keyboard.press("a")
        expect(tab.page.get_by_role("dialog").get_by_text("that are not reviewed")).to_be_visible()

    def compare(self, tab: Console) -> None:
        """The first file in which two jobs differ."""
        tab.open(f"#/jobs/{self.job}/compare?with={self.other}")
        tab.page.get_by_role("button", name="take 1").click()
        drawn(tab.page)

    def dataset_page(self, tab: Console) -> None:
        """A recording with its annotations and what sounds like it."""
        tab.open(f"#/datasets/{self.dataset.rpartition('/')[2]}")
        tab.page.get_by_role("button", name="concert/take 1.wav").first.click()
        tab.page.get_by_role("button", name="Similar recordings").click()
        expect(tab.page.get_by_role("heading", name="similar recording")).to_be_visible()

    def following(self, tab: Console) -> None:
        """A stretch to annotate, with the times of an event."""
        tab.open(f"#/datasets/{self.dataset.rpartition('/')[2]}/next?job={self.job}&label=dropout")
        tab.page.locator("tbody tr").first.get_by_role("button").click()
        drawn(tab.page)
        for x in (500, 620):
            tab.page.locator("canvas").click(position={"x": x, "y": 60})

    def evaluation(self, tab: Console) -> None:
        """Two jobs beside what people annotated."""
        place = f"#/datasets/{self.dataset.rpartition('/')[2]}/evaluation"
        tab.open(f"{place}?job={self.job}&with={self.other}")
        expect(tab.page.get_by_role("region", name="Figures").locator("tbody tr").first).to_be_visible()

    def check(self, tab: Console) -> None:
        """A training that would be refused."""
        tab.open("#/training")
        tab.page.get_by_label("Name of the model").fill("knocks")
        tab.page.get_by_label("Village recordings").check()
        labels = tab.page.get_by_label("Labels, with commas")
        expect(labels).to_have_value("knock")  # proposed
        labels.fill("knock, creak")
        tab.page.get_by_role("button", name="Check only").click()
        expect(tab.page.get_by_text("This training would be refused")).to_be_visible()

    def upload(self, tab: Console) -> None:
        """An upload that has ended."""
        tab.open("#/upload?model=artifacts")
        tab.page.get_by_label("Files", exact=True).set_input_files(DEMO)
        expect(tab.page.get_by_text("1 of 1 file")).to_be_visible()

    def place(self, place: str, heading: str) -> Callable[[Console], None]:
        """Only go to a place, and wait for its page."""

        def go(tab: Console) -> None:
            tab.open(place)
            tab.heading(heading)

        return go

    def pictures(self) -> dict[str, Callable[[Console], None]]:
        """What to do for each picture, in the order in which they are made."""
        return {
            "alike": self.alike,
            "review": self.review,
            "review-dark": self.review,
            "keys": self.keys,
            "compare": self.compare,
            "job": self.place(f"#/jobs/{self.job}", self.job),
            "jobs": self.place("#/jobs", "Jobs"),
            "upload": self.upload,
            "next": self.following,
            "evaluation": self.evaluation,
            "dataset": self.dataset_page,
            "datasets": self.place("#/datasets", "Datasets"),
            "training-check": self.check,
            "training": self.place(f"#/training/{self.training}", "Training of knocks"),
            "training-dark": self.place(f"#/training/{self.training}", "Training of knocks"),
            "models": self.place("#/models", "Models"),
            "rules": self.place("#/rules", "Rules"),
            "status": self.place("#/status", "Status"),
            "admin": self.place("#/admin", "Keys and tenants"),
        }


def drawn(page: Page) -> None:
    """Wait until the timeline has all of its picture."""
    timeline = "document.querySelector('console-timeline')"
    wait_for(
        lambda: page.evaluate(
            f"""() => {{
              const tiles = {timeline}?.tiles;
              return tiles && !{timeline}.painting && !tiles.running && !tiles.waiting.length && tiles.kept.size
                && [...tiles.kept.values()].every((tile) => tile.picture);
            }}"""
        )
    )


def take(scene: Scene, browser: Any, name: str, theme: Any, path: Path) -> None:
    """Make one picture. One page is as high as it has content, but the review is as high as a screen."""
    with console(browser, scene.appliance, color_scheme=theme, viewport=SIZE) as tab:
        tab.page.get_by_role("button", name="Sign out").click()
        tab.sign_in(scene.key)
        scene.pictures()[name](tab)
        expect(tab.page.locator("p.soft", has_text="Loading …")).to_have_count(0)
        tab.page.screenshot(path=path, full_page=name.startswith("training"))
    shrink(path)


def shrink(path: Path) -> None:
    """Give a picture a palette of 256 colours: a third of the bytes."""
    with av.open(path) as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24")
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    split, sink = graph.add("split"), graph.add("buffersink")
    colours = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "dither=none:new=1")
    links = (source, split, 0, 0), (split, use, 0, 0), (split, colours, 1, 0), (colours, use, 0, 1)
    for one, other, output, into in links:
        one.link_to(other, output, into)
    use.link_to(sink)
    graph.configure()
    source.push(frame)
    source.push(None)
    with av.open(path, "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "pal8"
        picture = sink.pull()
        picture.pts = 0
        container.mux([*stream.encode(picture), *stream.encode(None)])


def _wav(samples: Any, rate: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, "PCM_16", format="WAV")
    return content.getvalue()


def _wanted(scene: Scene, names: list[str]) -> Iterator[str]:
    return (name for name in scene.pictures() if not names or name.startswith(tuple(names)))


def main() -> None:
    """Make the pictures that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, open_browser() as browser:
        models = make_models(Path(temporary) / "models")
        (models / "artifacts").symlink_to(ROOT / "model_store" / "artifacts")
        with running_appliance(Path(temporary) / "data", models, storage_server="minio") as appliance:
            scene = Scene(appliance)
            for name in _wanted(scene, arguments.names):
                if folder := arguments.folder:
                    for theme in ("light", "dark"):
                        take(scene, browser, name, theme, folder / f"{name}-{theme}.png")
                else:
                    take(scene, browser, name, "dark" if name in DARK else "light", IMAGES / f"console-{name}.png")
                print(name, flush=True)


if __name__ == "__main__":
    main()
