"""One ONNX graph and how it is run: arrays by name in, arrays by name out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.errors import extra
from polyfuse.runtime.folder import ExportError


class Graph:
    """A graph of an exported folder.

    Args:
        path: of the ONNX file.
        threads: that one run may use; 0 leaves it to onnxruntime.
        calibrated: whether activations are in 8 bits, by ranges that the graph holds. If not, weights that are held in
            8 bits become full numbers once, when the graph is read, instead of in every run.

    Raises:
        ExportError: the file cannot be read as a graph.

    Attributes:
        takes, gives: names of its inputs and outputs.
    """

    def __init__(self, path: Path, threads: int = 0, calibrated: bool = False):
        with extra("runtime"):
            import onnxruntime

        options = onnxruntime.SessionOptions()
        # threads that wait by spinning take the cores of whoever else computes; alone on a machine they gain nothing
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.disable_quant_qdq", str(int(not calibrated)))
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for everything that may be wrong with a file
            raise ExportError(
                f"{path} cannot be read as an ONNX graph ({str(error)[:200]}); copy the folder again, or export the "
                "model again"
            ) from None
        self.takes = [one.name for one in self._session.get_inputs()]
        self.gives = [one.name for one in self._session.get_outputs()]

    def __call__(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run it.

        Args:
            given: name -> array; names that it does not take are left aside.
        """
        found = self._session.run(None, {name: given[name] for name in self.takes})
        return dict(zip(self.gives, found, strict=True))
