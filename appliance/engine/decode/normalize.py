"""Any recording → 16 kHz mono 16-bit WAV: what people annotate and models are trained on.

Resampled by soxr at high quality and dithered; loudness is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import soundfile

from appliance.engine.decode.decoder import DecodedAudio

SAMPLE_RATE_HZ = 16_000
LEAST_STEP = 1 / 32768


def normalise(audio: DecodedAudio, target: BinaryIO, checkpoint: Callable[[float], None] = lambda _: None) -> None:
    """Write ``audio``, decoded at SAMPLE_RATE_HZ, to ``target``, block by block.

    Triangular dither of one step each way keeps the error free of the signal; its seed is fixed, so that the same
    recording gives the same bytes. ``checkpoint`` is called for each block with the seconds written so far and may
    raise to stop. Raises what iterating ``audio`` raises.
    """
    dither = np.random.default_rng(0)
    num_samples = 0
    with soundfile.SoundFile(target, "w", SAMPLE_RATE_HZ, 1, "PCM_16", format="WAV") as wav:
        for block in audio:
            checkpoint(num_samples / SAMPLE_RATE_HZ)
            noise = dither.random((2, len(block)), np.float32)
            steps = np.rint(block / LEAST_STEP + noise[0] - noise[1])
            wav.write(np.clip(steps, -32768, 32767).astype(np.int16))
            num_samples += len(block)
