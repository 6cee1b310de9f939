"""Every kind of work by its name. The worker's handlers and these must agree, which a test checks."""

from __future__ import annotations

from appliance.services.datasets.work import COPY_AUDIO, EMBED, HEAR, NORMALIZE
from appliance.services.inference.redetect import REDETECT
from appliance.services.inference.verdicts import JUDGE
from appliance.services.inference.work import COPY_FILE, INFERENCE
from appliance.services.purge import PURGE
from appliance.services.speech.batch_uploads import STORE
from appliance.services.speech.fetch import FETCH
from appliance.services.speech.work import TRANSCRIPTION
from appliance.services.training.work import TRAINING
from appliance.services.webhooks.events import WEBHOOK

_LANES = (INFERENCE, REDETECT, NORMALIZE, EMBED, TRANSCRIPTION)
_OTHERS = (COPY_FILE, COPY_AUDIO, STORE, JUDGE, PURGE, FETCH, WEBHOOK, HEAR, TRAINING)
KINDS = {kind.name: kind for kind in (*_LANES, *_OTHERS)}
