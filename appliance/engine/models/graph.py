"""A graph with named inputs and outputs, for what is not scored in windows."""

from __future__ import annotations

import numpy as np

from appliance.engine.models.onnx_file import check_onnx
from appliance.engine.models.runtime import FAILURES, LOAD_FAILURES, open_graph
from appliance.engine.models.session import num_cores
from appliance.engine.models.store import StoredModel
from appliance.errors import InvalidManifest, ScoringFailed

ORT_FORMAT = b"ORTM"  # from the fifth byte on


class Graph:
    """A graph with named inputs and outputs, run on the CPU. Any number of threads may call ``run`` at once."""

    def __init__(self, model: StoredModel, name: str, num_threads: int = 0) -> None:
        """Load the graph in the model's file ``name``, in ONNX or in onnxruntime's own format.

        ``num_threads`` 0 is one thread for each core. Raises InvalidManifest if the graph does not load.
        """
        self._name = name
        try:
            content = model.read(name)
            if content[4:8] != ORT_FORMAT:
                check_onnx(content)
            self._session = open_graph(content, "cpu", num_threads or num_cores())
        except LOAD_FAILURES as error:
            raise InvalidManifest(f"{model.folder / name} does not load: {error}.") from error
        self.input_shapes = {node.name: node.shape for node in self._session.get_inputs()}
        self.output_shapes = {node.name: node.shape for node in self._session.get_outputs()}

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph and return the named outputs in the order of ``outputs``. Raises ScoringFailed."""
        try:
            return list(self._session.run(outputs, inputs))
        except FAILURES as error:
            raise ScoringFailed(f"{self._name} could not be run: {error}.") from error
