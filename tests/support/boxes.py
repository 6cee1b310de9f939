"""A box for tests of the services: real SQLite, toy models, and a dictionary in place of object storage."""

from __future__ import annotations

import builtins
import hashlib
import io
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from appliance import ROOT
from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import ObjectChanged, ObjectMissing
from appliance.services.box import Box
from appliance.services.inference import files, jobs
from appliance.services.work import leases
from appliance.services.work.kinds import KINDS
from appliance.state import tenants
from appliance.state import webhooks as webhook_rows
from appliance.state.database import Database
from appliance.state.work import Work
from appliance.storage.objects import ObjectInfo, ObjectStore, Readable, StoredKey, UnendedUpload, UploadForm

ORIGIN = "http://127.0.0.1:8080"
CALLBACK = "http://127.0.0.1:9/a"
CONTENT = b"the bytes of a recording"
SPEECH_MODEL = "moonshine-tiny-en"
BLOCK_BYTES = 64 * 1024


class DictionaryStore:
    """Object storage in a dictionary. Its URLs are not signed: they name the key and what is asked of it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.local_ports: set[int] = set()
        self.modified_at = 0.0  # of every object
        self.is_ready = True

    def stat(self, key: str) -> ObjectInfo:
        """Return an object's size and tag."""
        if key not in self.contents:
            raise ObjectMissing(f"There is no object {key}.")
        return ObjectInfo(len(self.contents[key]), hashlib.md5(self.contents[key]).hexdigest())

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        """Write an object's bytes into ``file``."""
        if self.stat(key).etag != etag:
            raise ObjectChanged(f"The object {key} was replaced.")
        file.write(self.contents[key])

    def read(self, key: str, etag: str | None, offset: int, num_bytes: int | None = None) -> bytes:
        """Return a part of an object's bytes."""
        if etag not in (None, self.stat(key).etag):
            raise ObjectChanged(f"The object {key} was replaced.")
        return self.contents[key][offset:][:num_bytes]

    def put(self, key: str, data: bytes | BinaryIO, *, size_bytes: int | None = None, content_type: str) -> ObjectInfo:
        """Store bytes, or ``size_bytes`` from a file."""
        self.contents[key] = data if isinstance(data, bytes) else data.read(-1 if size_bytes is None else size_bytes)
        return self.stat(key)

    def put_stream(self, key: str, stream: Readable, content_type: str) -> str:
        """Store a stream, unless it breaks off. Like the client of MinIO, end at the first block that is not full."""
        content = io.BytesIO()
        while content.write(stream.read(BLOCK_BYTES)) == BLOCK_BYTES:
            pass
        self.contents[key] = content.getvalue()
        return self.stat(key).etag

    def copy(self, source: str, info: ObjectInfo, target: str) -> ObjectInfo:
        """Copy an object that has the given tag."""
        if self.stat(source).etag != info.etag:
            raise ObjectChanged(f"The object {source} was replaced.")
        self.contents[target] = self.contents[source]
        return info

    def list(self, prefix: str, limit: int, after: str = "") -> list[StoredKey]:
        """Return objects by the start of their keys."""
        keys = [key for key in sorted(self.contents) if key.startswith(prefix) and key > after]
        return [StoredKey(key, self.modified_at) for key in keys][:limit]

    def figures(self) -> None:
        """Return nothing: a dictionary counts nothing."""

    def list_unended(self, before: float) -> builtins.list[UnendedUpload]:
        """Return nothing: a dictionary takes no parts."""
        return []

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        self.contents.pop(key, None)

    def upload_form(
        self, key: str, *, content_type: str, origin: str, size_bytes: int, expires_seconds: int
    ) -> UploadForm:
        """Return a form that names the key."""
        return UploadForm(f"{origin}/audio", {"key": key, "Content-Type": content_type})

    def upload_url(self, key: str, *, origin: str, expires_seconds: int) -> str:
        """Return a URL that names the key."""
        return f"{origin}/audio/{key}?seconds={expires_seconds}"

    def download_url(self, key: str, *, filename: str, content_type: str, origin: str, expires_seconds: int) -> str:
        """Return a URL that names the key, the file name and the type."""
        return f"{origin}/audio/{key}?filename={filename}&type={content_type}&seconds={expires_seconds}"

    def ready(self) -> bool:
        """A dictionary is ready unless a test says otherwise."""
        return self.is_ready


def make_box(folder: Path, models: Path, objects: DictionaryStore, **settings: Any) -> Box:
    """Return a box with the tenants 1 and 2, whose callbacks may go to this machine."""
    db = Database(folder / "appliance.db")
    db.migrate()
    with db.transaction() as tx:
        assert [tenants.ensure_tenant(tx, name) for name in ("one", "two")] == [1, 2]
    values: dict[str, Any] = {
        "data_dir": folder,
        "model_store": models,
        "default_model": "loud-frames",
        "transcription_model": SPEECH_MODEL,
        "webhook_networks": ["127.0.0.0/8"],
        "warn_free_bytes": 0,  # the disk of the tests may be nearly full
    }
    return Box(Settings(**values | settings), db, cast(ObjectStore, objects), ModelStore(models))


def with_settings(box: Box, **settings: Any) -> Box:
    """Return the same box with other settings."""
    return replace(box, settings=box.settings.model_copy(update=settings))


def add_speech_model(store: Path) -> None:
    """Put the model for transcription into a store, with empty files in place of its weights."""
    source = next((ROOT / "model_store" / SPEECH_MODEL).glob("*/manifest.toml"))
    folder = store / SPEECH_MODEL / source.parent.name
    folder.mkdir(parents=True)
    shutil.copy(source, folder)
    for file in tomllib.loads(source.read_text(encoding="utf-8"))["files"].values():
        (folder / file["name"]).touch()


def new_job(box: Box, callback_url: str | None = None) -> str:
    """Create a job of the tenant 1 and return its id."""
    return jobs.create_job(box, 1, "loud-frames", DetectionConfig(), callback_url).job.id


def new_file(box: Box, job_id: str, content: bytes | None = CONTENT, *, confirm: bool = True) -> str:
    """Request an upload of as many bytes as CONTENT has, store ``content`` unless it is None, and confirm it.

    Returns the id of the file.
    """
    upload = files.request_upload(
        box, 1, job_id, filename="a.wav", content_type="audio/wav", size_bytes=len(CONTENT), origin=ORIGIN
    )
    if content is not None:
        box.objects.put(upload.form.fields["key"], content, content_type="audio/wav")
    if confirm:
        files.confirm_upload(box, 1, job_id, upload.file_id)
    return upload.file_id


def claim(box: Box, *kinds: str) -> Work:
    """Claim the next piece of work, of any kind or only of the pools of ``kinds``."""
    work = claim_any(box, "w", *kinds)
    assert work is not None
    return work


def claim_any(box: Box, owner: str, *kinds: str) -> Work | None:
    """Claim the next piece of work, of any kind or only of the pools of ``kinds``. Returns None if none is ready."""
    for pool in dict.fromkeys(KINDS[kind].pool for kind in kinds or KINDS):
        if work := leases.claim(box, owner, pool):
            return work
    return None


def lose_lease(box: Box, work: Work) -> None:
    """Claim the work for another worker."""
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_owner = 'other', lease_token = lease_token + 1 WHERE id = ?", [work.id])


def queued_work(box: Box, *without: str) -> list[tuple[str, str]]:
    """Return the kind and the subject of all work, oldest first, without some kinds."""
    rows = box.db.all("SELECT kind, subject_id FROM work ORDER BY id")
    return [(row["kind"], row["subject_id"]) for row in rows if row["kind"] not in without]


def events(box: Box) -> list[str]:
    """Return the types of all events that were announced, oldest first."""
    deliveries = webhook_rows.list_deliveries(box.db, 1, status=None, before=None, limit=100)
    return [delivery.event_type for delivery in reversed(deliveries)]


def snapshot(box: Box) -> Mapping[str, list[tuple]]:
    """Return every row of every table, to check that nothing was written."""
    tables = [row["name"] for row in box.db.all("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {table: [tuple(row) for row in box.db.all(f"SELECT * FROM {table}")] for table in tables}
