"""The recording of a file in object storage, for those who look and listen: its bytes, its envelope, its outline.

The envelope and the outline are one object beside the original: the files of all levels of the envelope, the finest
first, then the outline. The header of the first level says how long they are.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import suppress

from appliance.engine.decode import peaks
from appliance.engine.decode.look import Look, Outline
from appliance.errors import CannotBePlayed, NotUploaded, ObjectMissing, StorageError
from appliance.services.box import Box
from appliance.services.inference.files import find_file
from appliance.services.inference.jobs import find_settings
from appliance.services.uploads import require_copy
from appliance.services.viewers import StoredRecording
from appliance.state import inference_files
from appliance.state.inference_files import InferenceFile

WAVEFORM = "waveform"  # the name of the object beside the original
KEPT_OUTLINES = 64  # in memory; that of six hours has 350 kB


class Outlines:
    """The outlines that were read last. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Outline] = OrderedDict()

    def find(self, box: Box, file: InferenceFile) -> Outline | None:
        """Return the outline of a file, None if it has none yet."""
        key = waveform_key(file)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        outline = _read_outline(box, key)
        if outline:
            with self._lock:
                self._kept[key] = outline
                while len(self._kept) > KEPT_OUTLINES:
                    self._kept.popitem(last=False)
        return outline


def find_recording(box: Box, tenant_id: int, job_id: str, file_id: str) -> tuple[InferenceFile, StoredRecording]:
    """Return a file and its original.

    Raises NotFound, NotUploaded if there is no original, NotReady if it awaits its copy, and CannotBePlayed if its
    audio failed to decode.
    """
    find_settings(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    if file.etag is None:
        raise NotUploaded("The file has not been uploaded and confirmed.")
    require_copy(file)
    if file.status == "failed" and file.error_code in UNPLAYABLE:
        raise CannotBePlayed(f"The recording cannot be decoded: {file.error_message}")
    try:
        size_bytes = box.objects.stat(file.object_key).size_bytes
    except ObjectMissing:
        raise NotUploaded("The original is no longer stored.") from None
    return file, StoredRecording(box, file.object_key, file.etag, size_bytes)


def waveform_key(file: InferenceFile) -> str:
    """Return the key of the envelope and the outline."""
    return f"{file.object_key.rpartition('/')[0]}/{WAVEFORM}"


def store_look(box: Box, file: InferenceFile, look: Look) -> None:
    """Store what a whole decode learned. If the file was deleted meanwhile, nothing stays behind."""
    key = waveform_key(file)
    look.file.seek(0, os.SEEK_END)
    look.file.write(look.outline.to_bytes())
    size_bytes = look.file.tell()
    look.file.seek(0)
    box.objects.put(key, look.file, size_bytes=size_bytes, content_type="application/octet-stream")
    with box.db.transaction() as tx:
        is_there = inference_files.set_waveform(tx, file.id, size_bytes)
    if not is_there:
        with suppress(StorageError):
            box.objects.delete(key)


def _read_outline(box: Box, key: str) -> Outline | None:
    try:
        head = box.objects.read(key, None, 0, peaks.HEADER.size)
        *_, num_pixels, num_channels = peaks.HEADER.unpack(head)
        lengths = peaks.level_lengths(num_pixels)
        start = sum(peaks.level_bytes(length, num_channels) for length in lengths)
        return Outline.from_bytes(box.objects.read(key, None, start))
    except ObjectMissing:
        return None


UNPLAYABLE = {"empty_file", "corrupt_audio", "no_audio_stream", "unsupported_audio", "audio_too_short", "decoder_died"}
