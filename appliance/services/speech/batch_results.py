"""The progress and the results of a batch, in pages, so that a poll does not read every result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.errors import NotFound
from appliance.services.box import Box
from appliance.services.speech.batch import status_of
from appliance.services.speech.batch_uploads import find_file
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.media import Media
from appliance.state.moves import TranscriptStatus
from appliance.state.transcripts import Transcript

# The model for transcription ran at 19 to 37 times real time on two busy cores; see its model card.
AUDIO_SECONDS_PER_SECOND = 20.0
DOWNLOAD_PAGE = 100

Item = tuple[Transcript, Media]


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is. Seconds of audio are those that the headers of its files claim."""

    id: str
    counts: dict[TranscriptStatus, int]
    audio_seconds: float
    unfinished_seconds: float

    @property
    def status(self) -> str:
        """The status of the batch, as ``BatchReport.status``."""
        return status_of(set(self.counts))

    @property
    def completion_seconds(self) -> float:
        """An estimate of how long the unfinished files take, if nothing else is in the queue."""
        return self.unfinished_seconds / AUDIO_SECONDS_PER_SECOND

    def count(self, *statuses: TranscriptStatus) -> int:
        """Return the number of transcripts in these statuses."""
        return sum(self.counts.get(status, 0) for status in statuses)


def progress(box: Box, tenant_id: int, batch_id: str) -> BatchProgress:
    """Return how far the tenant's batch is. Raises NotFound."""
    counts = transcript_rows.count_batch(box.db, tenant_id, batch_id)
    if not counts:
        raise NotFound("There is no such batch.")
    whole, unfinished = transcript_rows.estimated_seconds(box.db, tenant_id, batch_id)
    return BatchProgress(batch_id, counts, whole, unfinished)


def list_results(
    box: Box, tenant_id: int, batch_id: str, statuses: tuple[TranscriptStatus, ...], *, offset: int, limit: int
) -> tuple[list[Item], int]:
    """Return transcripts of a batch in ``statuses`` with their media, in its order, and the number of all of them.

    Raises NotFound.
    """
    total = progress(box, tenant_id, batch_id).count(*statuses)
    rows = transcript_rows.list_batch(box.db, tenant_id, batch_id, statuses, offset=offset, limit=limit)
    media = {row.id: media_rows.find_media(box.db, row.media_id) for row in rows}
    return [(row, recording) for row in rows if (recording := media[row.id])], total


def iterate_results(box: Box, tenant_id: int, batch_id: str, statuses: tuple[TranscriptStatus, ...]) -> Iterator[Item]:
    """Return every transcript of a batch in ``statuses``, read page by page. Raises NotFound at once."""
    _, total = list_results(box, tenant_id, batch_id, statuses, offset=0, limit=0)

    def items() -> Iterator[Item]:
        for offset in range(0, total, DOWNLOAD_PAGE):
            page, _ = list_results(box, tenant_id, batch_id, statuses, offset=offset, limit=DOWNLOAD_PAGE)
            yield from page

    return items()


def find_result(box: Box, tenant_id: int, file_id: str) -> Item:
    """Return the newest transcript of a file, and the file. Raises NotFound, also if no transcript was requested."""
    media = find_file(box, tenant_id, file_id)
    for transcript in transcript_rows.list_of_media(box.db, media.id):
        return transcript, media
    raise NotFound(f"No transcript of the file {file_id} was requested; name it in POST /transcribe/batch.")
