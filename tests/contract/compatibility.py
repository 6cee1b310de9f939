"""Every call of the five hosted services, what the appliance does with it, and the test that shows it.

``scripts/docs.py`` makes docs/compatibility.md from this, and test_compatibility.py checks it. A test is named by its
file and its name, both in this folder; each time it runs, the log of the front door must show that it made the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

READ_ON = "2026-11-21"


class Verdict(Enum):
    """What a client of the hosted service finds; the value is the word in the page."""

    WORKS = "works"
    DIFFERS = "works with a difference"
    REFUSED = "refused by name"
    ABSENT = "not offered"
    OWN = "only here"


@dataclass(frozen=True)
class Call:
    """A call, or an option of a call. ``route`` is method and path, with the names that the OpenAPI document uses."""

    route: str
    verdict: Verdict
    test: str = ""
    note: str = ""
    option: str = ""


@dataclass(frozen=True)
class Service:
    """A hosted service: the pages that were read, and its calls."""

    name: str
    pages: tuple[str, ...]
    calls: tuple[Call, ...]
    remarks: str = ""
    unseen: str = ""


def works(route: str, test: str, option: str = "") -> Call:
    """Return a call that does here what the page says."""
    return Call(route, Verdict.WORKS, test, option=option)


def differs(route: str, test: str, note: str, option: str = "") -> Call:
    """Return a call that a client can use as it is, although something differs: ``note`` says what."""
    return Call(route, Verdict.DIFFERS, test, note, option)


def refused(route: str, test: str, option: str, note: str = "") -> Call:
    """Return an option that gets a 400 which names it."""
    return Call(route, Verdict.REFUSED, test, note, option)


def absent(route: str, note: str) -> Call:
    """Return a call that the appliance does not have."""
    return Call(route, Verdict.ABSENT, note=note)


def own(route: str, test: str, note: str = "", option: str = "") -> Call:
    """Return a call that no page shows."""
    return Call(route, Verdict.OWN, test, note, option)


JOBS = "/api/v1/inference-jobs"
DATASETS = "/api/v1/datasets"
AUDIO = f"{DATASETS}/{{dataset_id}}/audio"
SETS = f"{DATASETS}/{{dataset_id}}/annotation-sets"
LABELS = f"{SETS}/{{set_id}}/annotations"
TRAINING = "/api/v1/training-jobs"
TRANSCRIPT = "/v2/transcript/{transcript_id}"

RELAY = (
    "docs.relayai.dev/api-reference/introduction",
    "docs.relayai.dev/quickstart",
    "docs.relayai.dev/sdks/curl",
    "docs.relayai.dev/sdks/typescript",
)

INFERENCE = Service(
    "Relay: inference",
    ("the reference page on inference", *RELAY, "docs.relayai.dev/guides/understanding-results"),
    (
        works(f"POST {JOBS}", "test_reference::test_one_file"),
        own(
            f"POST {JOBS}",
            "test_webhooks::test_a_job_sends_one_event_for_each_file_and_one_for_its_end",
            option="callback_url",
        ),
        works(f"GET {JOBS}", "test_reference::test_listing_and_cancelling"),
        works(f"GET {JOBS}", "test_hosted_flows::test_relay_lists_are_read_by_page_number", option="page, page_size"),
        works(f"GET {JOBS}/{{job_id}}", "test_reference::test_one_file"),
        own(
            f"GET {JOBS}/{{job_id}}",
            "test_uploads_and_deletion::test_a_poll_can_leave_out_the_files",
            option="files=false",
        ),
        differs(
            f"DELETE {JOBS}/{{job_id}}",
            "test_reference::test_listing_and_cancelling",
            "the answer is 200 with the job; the introduction of the API says 204 for every DELETE",
        ),
        own(
            f"DELETE {JOBS}/{{job_id}}",
            "test_uploads_and_deletion::test_a_purged_job_is_gone_with_its_results_and_objects",
            option="purge=true",
        ),
        differs(
            f"POST {JOBS}/{{job_id}}/files/upload-url",
            "test_reference::test_one_file",
            "`upload_fields` are those of signature version 4 (`x-amz-…`), not of version 2",
        ),
        own(
            f"POST {JOBS}/{{job_id}}/files/upload-url",
            "test_multipart_uploads::test_a_file_is_uploaded_in_parts_and_goes_on_after_a_break",
            option="multipart=true",
        ),
        own(
            f"GET {JOBS}/{{job_id}}/files/{{file_id}}/parts",
            "test_multipart_uploads::test_a_file_is_uploaded_in_parts_and_goes_on_after_a_break",
        ),
        works(f"POST {JOBS}/{{job_id}}/files/confirm", "test_reference::test_one_file"),
        works(f"GET {JOBS}/{{job_id}}/files/{{file_id}}", "test_reference::test_one_file"),
        works(f"GET {JOBS}/{{job_id}}/files/{{file_id}}/download-url", "test_reference::test_one_file"),
        own(f"GET {JOBS}/{{job_id}}/files", "test_uploads_and_deletion::test_the_files_of_a_job_come_in_pages"),
        own(
            f"DELETE {JOBS}/{{job_id}}/files/{{file_id}}",
            "test_uploads_and_deletion::test_a_file_can_be_deleted_and_a_job_is_not_held_open_by_it",
        ),
    ),
    remarks="`model_id` is the name of a model here, not a UUID. A job or a file can also be `cancelled`. Bodies that "
    "do not fit get 400 with a sentence in `detail`, not 422 with a list.",
)

UPLOADS = Service(
    "Relay: uploads, datasets and annotations",
    (
        "the reference page on uploading audio",
        *RELAY,
        "docs.relayai.dev/guides/creating-annotations",
        "docs.relayai.dev/guides/training-models",
        "docs.relayai.dev/concepts/annotation-sets",
        "docs.relayai.dev/concepts/artifact-types",
        "docs.relayai.dev/concepts/datasets",
    ),
    (
        differs(
            f"POST {AUDIO}/upload-url",
            "test_page_samples::test_an_upload_to_a_dataset",
            "`fields` are those of signature version 4 (`x-amz-…`); the page prints those of version 2",
        ),
        works(f"POST {AUDIO}/confirm", "test_page_samples::test_an_upload_to_a_dataset"),
        works(f"GET {AUDIO}/{{audio_id}}", "test_page_samples::test_an_upload_to_a_dataset"),
        own(f"PATCH {AUDIO}/{{audio_id}}", "test_reviewed_stretches::test_a_recording_has_a_group"),
        works(f"DELETE {AUDIO}/{{audio_id}}", "test_page_samples::test_audio_that_failed_is_deleted"),
        works(f"GET {AUDIO}/{{audio_id}}/download-url", "test_page_samples::test_an_upload_to_a_dataset"),
        works(
            f"GET {AUDIO}/{{audio_id}}/download-url",
            "test_page_samples::test_an_upload_to_a_dataset",
            option="normalized=True",
        ),
        works(f"GET {AUDIO}", "test_datasets::test_five_threads_send_in_parallel"),
        works(
            f"POST {DATASETS}",
            "test_annotation_sets::test_artifact_types_are_stored_and_replaced",
            option="artifact_types",
        ),
        works(
            f"GET {DATASETS}", "test_hosted_flows::test_relay_lists_are_read_by_page_number", option="page, page_size"
        ),
        works(f"GET {DATASETS}/{{dataset_id}}", "test_datasets::test_a_dataset_is_created_listed_changed_and_deleted"),
        works(
            f"PATCH {DATASETS}/{{dataset_id}}", "test_datasets::test_a_dataset_is_created_listed_changed_and_deleted"
        ),
        works(
            f"DELETE {DATASETS}/{{dataset_id}}", "test_datasets::test_a_dataset_is_created_listed_changed_and_deleted"
        ),
        works(f"POST {SETS}", "test_annotation_sets::test_a_set_goes_from_draft_to_published"),
        works(f"POST {LABELS}", "test_annotation_sets::test_a_set_goes_from_draft_to_published"),
        own(
            f"GET {SETS}",
            "test_annotation_sets::test_sets_are_listed_in_order_of_their_version",
            "the page of this call was not seen",
        ),
        own(
            f"GET {SETS}/{{set_id}}",
            "test_annotation_sets::test_a_set_goes_from_draft_to_published",
            "the page of this call was not seen",
        ),
        own(
            f"POST {SETS}/{{set_id}}/publish",
            "test_annotation_sets::test_a_set_goes_from_draft_to_published",
            "the hosted service can publish a set; its path was not seen",
        ),
        own(
            f"GET {LABELS}",
            "test_annotation_sets::test_annotations_are_filtered_and_paged",
            "the page of this call was not seen",
        ),
        own(
            f"POST {LABELS}/bulk",
            "test_annotation_sets::test_ten_thousand_annotations_cost_in_proportion",
            "the hosted service has a bulk call; its path was not seen",
        ),
        own(f"POST {LABELS}/from-reviews", "test_compare::test_confirmed_reviews_become_annotations_once"),
        own(f"POST {LABELS}/from-detections", "test_annotation_sets::test_detections_become_annotations"),
        own(
            f"PATCH {LABELS}/{{annotation_id}}",
            "test_annotation_sets::test_an_annotation_is_changed_and_deleted",
            "the hosted service can change an annotation; its path was not seen",
        ),
        own(
            f"DELETE {LABELS}/{{annotation_id}}",
            "test_annotation_sets::test_an_annotation_is_changed_and_deleted",
            "the hosted service can delete an annotation; its path was not seen",
        ),
        differs(
            f"POST {TRAINING}",
            "test_training::test_a_training_is_asked_for_as_on_the_hosted_services_page",
            "`epochs`, `learning_rate`, `batch_size`, `chunk_size_ms` and `stride_ms` are accepted and have no effect; "
            "negatives come from reviewed stretches, so a published set alone is refused; of the answer only `id` was "
            "seen",
        ),
        own(
            f"POST {DATASETS}/{{dataset_id}}/annotations/from-reviews",
            "test_training_data::test_what_was_decided_about_detections_is_learned_once",
        ),
        own(
            f"GET {DATASETS}/{{dataset_id}}/evaluation",
            "test_training_data::test_two_models_are_compared_with_what_people_annotated",
        ),
        own(
            f"GET {DATASETS}/{{dataset_id}}/suggestions",
            "test_training_data::test_stretches_to_listen_to_are_half_the_surest_and_half_the_least_sure",
        ),
        own(f"GET {TRAINING}", "test_training::test_trainings_are_listed_and_cancelled"),
        own(f"GET {TRAINING}/{{training_job_id}}", "test_training::test_trainings_are_listed_and_cancelled"),
        own(f"POST {TRAINING}/{{training_job_id}}/cancel", "test_training::test_trainings_are_listed_and_cancelled"),
        own(f"GET {TRAINING}/{{training_job_id}}/report", "test_training::test_trainings_are_listed_and_cancelled"),
        own(f"GET {AUDIO}/{{audio_id}}/clip", "test_looking::test_a_clip_of_a_dataset_is_of_its_normalized_file"),
        own(
            f"GET {AUDIO}/{{audio_id}}/spectrogram.png",
            "test_looking::test_a_clip_of_a_dataset_is_of_its_normalized_file",
        ),
        own(f"GET {AUDIO}/{{audio_id}}/similar", "test_datasets::test_similarity_is_over_all_datasets_or_one"),
        own(f"GET {AUDIO}/{{audio_id}}/annotations", "test_datasets::test_annotations"),
        own(f"POST {AUDIO}/{{audio_id}}/annotations", "test_datasets::test_annotations"),
        own(f"POST {AUDIO}/{{audio_id}}/annotations/import", "test_datasets::test_annotations"),
        own(f"GET {AUDIO}/{{audio_id}}/annotations/export", "test_datasets::test_annotations"),
        own(f"DELETE {AUDIO}/{{audio_id}}/annotations/{{annotation_id}}", "test_datasets::test_annotations"),
    ),
    remarks="Bodies that do not fit get 400 with a sentence in `detail`, not 422 with a list.",
    unseen="Only about the first 2,000 characters of each page of docs.relayai.dev. So not seen were the paths of "
    "publishing a set and of the bulk call, their answers, filters of annotation lists, the largest `page_size`, the "
    "keys of a numbered page other than `items`, any call that makes annotations from detections, and "
    "what a training job is answered with.",
)

BATCH = Service(
    "Soket: batch",
    (
        "the reference page on uploading files",
        "docs.tensorstudio.ai/api-reference/introduction",
        *(
            f"docs.tensorstudio.ai/api-reference/endpoint/{name}"
            for name in (
                "post-files-upload",
                "get-files-upload-batch-upload-id",
                "post-batch",
                "get-status-batch-batch-id",
                "get-results-batch-batch-id",
                "get-results-file-file-id",
                "get-download-batch-batch-id",
                "get-files",
                "delete-files",
            )
        ),
    ),
    (
        works("POST /transcribe/files/upload", "test_speech_batch::test_the_command_of_the_reference_works_as_printed"),
        works(
            "GET /transcribe/files/upload/{batch_upload_id}",
            "test_speech_batch::test_the_command_of_the_reference_works_as_printed",
        ),
        differs(
            "POST /transcribe/batch",
            "test_hosted_flows::test_soket_from_upload_to_deletion",
            "files that are still being stored are accepted, and their transcripts wait; the hosted service "
            "answers 409",
        ),
        differs(
            "POST /transcribe/batch",
            "test_fetching::test_a_batch_of_urls_is_fetched_and_transcribed",
            "only from hosts that the operator lists: see [fetching](fetching.md)",
            option="sources[].url",
        ),
        refused(
            "POST /transcribe/batch",
            "test_hosted_flows::test_soket_options_without_a_model_are_refused",
            option="sources[].gcs_key",
        ),
        works("GET /transcribe/status/batch/{batch_id}", "test_hosted_flows::test_soket_from_upload_to_deletion"),
        works("GET /transcribe/results/batch/{batch_id}", "test_hosted_flows::test_soket_from_upload_to_deletion"),
        works("GET /transcribe/results/file/{file_id}", "test_hosted_flows::test_soket_from_upload_to_deletion"),
        works("GET /transcribe/download/batch/{batch_id}", "test_hosted_flows::test_soket_from_upload_to_deletion"),
        *(
            refused(
                f"GET /transcribe/{path}",
                "test_hosted_flows::test_soket_options_without_a_model_are_refused",
                option="raw=true, chunks=true, speech_information=true",
            )
            for path in ("results/batch/{batch_id}", "download/batch/{batch_id}")
        ),
        refused(
            "GET /transcribe/results/file/{file_id}",
            "test_hosted_flows::test_soket_options_without_a_model_are_refused",
            option="chunks=true, speech_information=true",
        ),
        works("GET /transcribe/files", "test_hosted_flows::test_soket_from_upload_to_deletion"),
        works(
            "DELETE /transcribe/files", "test_deletion_of_media::test_a_file_of_a_batch_is_gone_with_its_transcripts"
        ),
        own(
            "DELETE /transcribe/files/{file_id}",
            "test_deletion_of_media::test_a_file_of_a_batch_is_gone_with_its_transcripts",
        ),
        own(
            "GET /transcribe/batch/{batch_id}", "test_speech_batch::test_the_command_of_the_reference_works_as_printed"
        ),
    ),
    remarks="The token is a key of the appliance, not a JWT. The model knows only English. Errors are "
    '`application/problem+json`, not `{"error": …}`.',
    unseen="What is in `result`, `errors` and `chunk_results` of a file and in the records of `raw=true`: the pages "
    "only name these keys.",
)

OPTIONS = "test_speech_raw::test_an_unsupported_option_is_named"

RAW = Service(
    "AssemblyAI: pre-recorded audio",
    (
        "the reference page on uploading a media file",
        "assemblyai.com/docs/pre-recorded-audio/getting-started/transcribe-an-audio-file",
        "assemblyai.com/docs/pre-recorded-audio/webhooks.md",
        "assemblyai.com/docs/deployment/webhooks",
        "assemblyai.com/docs/pre-recorded-audio/select-the-speech-model",
        "assemblyai.com/docs/api-reference/transcripts/word-search",
        "assemblyai.com/docs/concepts/faq",
        "github.com/AssemblyAI/assemblyai-api-spec: fern/pages, the sources of older versions of these pages",
        "the packages assemblyai 1.8.2 for Python and assemblyai 4.41.5 for Node, the newest on this day",
    ),
    (
        differs(
            "POST /v2/upload",
            "test_speech_raw_pages::test_the_quickstart_and_the_word_search_run_as_they_stand",
            "the largest file is `max_upload_bytes`, by default 500 MiB, not 2.2 GB; an upload that is never used "
            "is deleted after two days, not one",
        ),
        works(
            "POST /v2/transcript",
            "test_speech_raw_pages::test_the_quickstart_and_the_word_search_run_as_they_stand",
            option="audio_url of an upload",
        ),
        differs(
            "POST /v2/transcript",
            "test_fetching::test_an_audio_url_is_fetched_and_transcribed",
            "only from hosts that the operator lists: see [fetching](fetching.md)",
            option="audio_url elsewhere",
        ),
        differs(
            "POST /v2/transcript",
            "test_speech_raw_pages::test_the_python_package_runs_the_quickstart_and_searches_words",
            "the names of the hosted service's models all mean the model that is installed here; "
            "`speech_model_used` names it",
            option="speech_models, speech_model",
        ),
        differs(
            "POST /v2/transcript",
            "test_speech_raw_pages::test_the_node_package_makes_every_call_that_the_route_has",
            "nothing is detected: the language is always English",
            option="language_detection",
        ),
        differs(
            "POST /v2/transcript",
            "test_speech_raw_pages::test_a_webhook_has_the_body_and_the_header_of_the_page",
            "only to networks that the operator lists: see [webhooks](webhooks.md); a call that fails is repeated "
            "over three days, also after a 4xx other than 410",
            option="webhook_url, webhook_auth_header_name, webhook_auth_header_value",
        ),
        works(
            "POST /v2/transcript",
            "test_speech_raw::test_a_supported_option_is_accepted",
            option="language_code en, en_us, en_uk, en_au",
        ),
        refused("POST /v2/transcript", OPTIONS, option="language_code, language_codes with another language"),
        refused("POST /v2/transcript", OPTIONS, option="punctuate=false, format_text=false"),
        refused(
            "POST /v2/transcript",
            OPTIONS,
            option="speaker_labels, redact_pii, auto_chapters, entity_detection, word_boost and every other",
        ),
        works(f"GET {TRANSCRIPT}", "test_speech_raw_pages::test_the_node_package_makes_every_call_that_the_route_has"),
        works("GET /v2/transcript", "test_speech_raw::test_pages_lead_to_one_another"),
        works(
            f"DELETE {TRANSCRIPT}", "test_speech_raw_pages::test_the_node_package_makes_every_call_that_the_route_has"
        ),
        *(
            works(
                f"GET {TRANSCRIPT}/{name}",
                "test_speech_raw_pages::test_the_node_package_makes_every_call_that_the_route_has",
            )
            for name in ("sentences", "paragraphs", "srt", "vtt", "word-search")
        ),
        own(f"GET {TRANSCRIPT}/clip", "test_speech_raw::test_a_stretch_of_the_recording_is_heard_and_seen"),
        own(f"GET {TRANSCRIPT}/spectrogram.png", "test_speech_raw::test_a_stretch_of_the_recording_is_heard_and_seen"),
        absent(f"GET {TRANSCRIPT}/redacted-audio", "there is no model for redaction"),
    ),
    remarks="Streaming, the LLM gateway and other services on hosts of their own are not offered.",
    unseen="The quickstart's newest text after its first 2,000 characters; its request was taken from public copies of "
    "it. What the hosted service answers to an option that it does not know.",
)

INVOX = "/api/v1/get-transcription"
PUT_TEST = "test_page_samples::test_a_recording_is_put_and_its_transcription_ends"
FLOW = "test_hosted_flows::test_invox_with_the_names_of_its_pages"

PRESIGNED = Service(
    "Invox: pre-recorded audio",
    (
        "the reference page on asynchronous transcription",
        *(
            f"developer.invoxmedical.com/ai-services/transcribe-pre-recorded-audio/{name}"
            for name in ("api-guide", "generate-presign-url", "get-transcription-status")
        ),
    ),
    (
        works("POST /api/v1/generate-presigned-url", FLOW, option="mimeType"),
        differs(
            "POST /api/v1/generate-presigned-url",
            "test_speech_presigned_pages::test_the_three_steps_of_the_guide",
            "the body is an event of [webhooks](webhooks.md) with `requestId` and `transcription` beside it, without "
            "`signature` and `createdAt`; only to networks that the operator lists",
            option="callbackUrl",
        ),
        works("POST /api/v1/get-transcription", FLOW),
        works("POST /api/get-transcription", FLOW),
        own("POST /api/generate-presigned-url", PUT_TEST),
        own("GET /api/get-transcription", PUT_TEST),
        own("GET /api/v1/get-transcription", FLOW),
        own("DELETE /api/get-transcription", FLOW),
        own("DELETE /api/v1/get-transcription", FLOW),
    ),
    remarks="The token is a key of the appliance, not one of the hosted service's tokens. No segment has a `speaker`. "
    "The samples of the reference page that PUT the file run in Python, in Java, and in TypeScript under Node and in a "
    "browser; its C# was not run, because that needs .NET.",
    unseen="How `signature` of a callback is computed, and the unit of its `createdAt`. Of the guide, what comes after "
    "about the first 2,000 characters.",
)

SERVICES = (INFERENCE, UPLOADS, BATCH, RAW, PRESIGNED)


def calls_of(test: str) -> Iterator[Call]:
    """Yield every call that a test shows."""
    return (call for service in SERVICES for call in service.calls if call.test == test)
