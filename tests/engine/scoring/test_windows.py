"""Windows cover every sample, for any sizes of blocks, windows and hops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.scoring.windows import cut_windows


@given(
    sizes=st.lists(st.integers(0, 50), max_size=12),
    window=st.integers(1, 40),
    data=st.data(),
)
def test_windows_cover_every_sample_and_none_is_superfluous(sizes: list[int], window: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, window))
    audio = np.arange(1, sum(sizes) + 1, dtype=np.float32)
    windows = [part.copy() for part in cut_windows(np.split(audio, np.cumsum(sizes)[:-1]), window, hop)]
    starts = [0] if len(audio) else []
    while starts and starts[-1] + window < len(audio):
        starts.append(starts[-1] + hop)
    padded = np.pad(audio, (0, window))
    assert len(windows) == len(starts)
    for start, part in zip(starts, windows, strict=True):
        np.testing.assert_array_equal(part, padded[start : start + window])


def test_a_long_recording_in_one_block_gives_views() -> None:
    audio = np.zeros(1000, np.float32)
    first, *_ = cut_windows([audio], 100, 50)
    assert first.base is not None
