"""A server of LitServe with the same graph. Runs in the environment of the peers: ``litserve_server.py MODEL PORT``."""

import io
import os
import sys

import librosa
import litserve
import numpy as np
from fastapi import Request
from peer_loops import RATE_HZ, session_of, windows

MODEL = "BENCH_MODEL"  # in the environment, for the processes that the server starts


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Takes recordings, which it gets in batches."""

    def setup(self, device: str) -> None:
        self.session = session_of(os.environ[MODEL])

    def decode_request(self, request: Request) -> np.ndarray:
        content = request["file"].file.read()  # LitServe passes the form
        audio, _ = librosa.load(io.BytesIO(content), sr=RATE_HZ, mono=True)
        return audio

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return inputs  # of several lengths, so they cannot be one array

    def predict(self, batch: list[np.ndarray]) -> list[int]:
        return [self._num_frames(audio) for audio in batch]

    def _num_frames(self, audio: np.ndarray) -> int:
        scores = [self.session.run(["scores"], {"waveform": window})[0] for window in windows(audio)]
        return sum(int((one > 0.5).sum()) for one in scores)

    def unbatch(self, output: list[int]) -> list[int]:
        return output

    def encode_response(self, output: int) -> dict[str, int]:
        return {"frames": output}


if __name__ == "__main__":
    os.environ[MODEL] = sys.argv[1]
    server = litserve.LitServer(Api(max_batch_size=8, batch_timeout=0.05), accelerator="cpu", timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
