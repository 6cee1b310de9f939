"""Any recording to a 16 kHz mono 16-bit WAV, which people annotate and models are trained on.

Resampled by soxr at high quality and dithered; loudness does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import soundfile

from appliance.engine.decode.decoder import DecodedAudio

SAMPLE_RATE_HZ = 16_000
SAMPLE_BYTES = 2
STEP = 1 / 32768  # of 16-bit samples at full scale 1


def normalize(audio: DecodedAudio, target: BinaryIO, checkpoint: Callable[[float], None] = lambda _: None) -> None:
    """Write ``audio``, decoded at SAMPLE_RATE_HZ, to ``target`` as WAV, block by block.

    Triangular dither of one step each way makes the rounding error independent of the signal (Lipshitz, Wannamaker,
    Vanderkooy, "Quantization and Dither: A Theoretical Survey", J. Audio Eng. Soc. 40, 1992). Its seed is fixed, so
    that the same recording gives the same bytes.

    ``checkpoint`` is called for each block with the seconds written so far and may raise to stop. Raises what
    iterating ``audio`` raises.
    """
    dither = np.random.default_rng(0)
    num_samples = 0
    with soundfile.SoundFile(target, "w", SAMPLE_RATE_HZ, 1, "PCM_16", format="WAV") as wav:
        for block in audio:
            checkpoint(num_samples / SAMPLE_RATE_HZ)
            noise = dither.random((2, len(block)), np.float32)
            steps = np.rint(block / STEP + noise[0] - noise[1])
            wav.write(np.clip(steps, -32768, 32767).astype(np.int16))
            num_samples += len(block)
