"""libopus, driven packet by packet: PyAV cannot tell its decoder that a packet is lost."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

FRAME_SECONDS = 0.02
_VOICE, _SET_BITRATE = 2048, 4002


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    bundled = sorted((Path(av.__file__).parent.parent / "av.libs").glob("libopus*"))
    library = ctypes.CDLL(str(bundled[0]) if bundled else ctypes.util.find_library("opus"))
    library.opus_encoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.restype = ctypes.c_void_p
    return library


def packets(audio: np.ndarray, rate_hz: int, kilobits: int) -> list[bytes]:
    """Encode (num_samples, num_channels) float32 into packets of 20 ms."""
    library, num_channels = _library(), audio.shape[1]
    error = ctypes.c_int()
    encoder = ctypes.c_void_p(library.opus_encoder_create(rate_hz, num_channels, _VOICE, ctypes.byref(error)))
    library.opus_encoder_ctl(encoder, _SET_BITRATE, ctypes.c_int(kilobits * 1000))
    size = int(rate_hz * FRAME_SECONDS)
    coded, buffer = [], ctypes.create_string_buffer(4000)
    for first in range(0, len(audio) - size + 1, size):
        block = np.ascontiguousarray(audio[first : first + size], dtype=np.float32)
        length = library.opus_encode_float(encoder, block.ctypes.data_as(ctypes.c_void_p), size, buffer, 4000)
        coded.append(buffer.raw[:length])
    library.opus_encoder_destroy(encoder)
    return coded


def decode(coded: list[bytes | None], rate_hz: int, num_channels: int) -> np.ndarray:
    """Decode packets to (num_samples, num_channels) float32; None is a lost packet, which the decoder conceals."""
    library = _library()
    error = ctypes.c_int()
    decoder = ctypes.c_void_p(library.opus_decoder_create(rate_hz, num_channels, ctypes.byref(error)))
    size = int(rate_hz * FRAME_SECONDS)
    blocks = []
    for packet in coded:
        block = np.zeros((size, num_channels), dtype=np.float32)
        target = block.ctypes.data_as(ctypes.c_void_p)
        library.opus_decode_float(decoder, packet, len(packet) if packet is not None else 0, target, size, 0)
        blocks.append(block)
    library.opus_decoder_destroy(decoder)
    return np.concatenate(blocks)
