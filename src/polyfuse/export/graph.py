"""One torch module as an ONNX file: named tensors in, named tensors out, the axes that vary free."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from polyfuse.errors import extra
from polyfuse.runtime.folder import ExportError

Named = dict[str, Tensor]


def write_graph(module: nn.Module, one: Named, other: Named, path: Path, what: str) -> tuple[Named, Named]:
    """Write a module that takes and gives named tensors.

    Args:
        module: its ``forward`` takes one dict and gives one.
        one, other: two samples; an axis in which they differ is free, and so is the first of every tensor.
        path: of the ONNX file.
        what: what messages call it.

    Returns:
        What the module gives for each of the samples.

    Raises:
        ExportError: torch cannot trace it, or ONNX has no such operation.
    """
    with extra("export"):
        import onnx  # noqa: F401 - torch.onnx needs both
        import onnxscript  # noqa: F401
    with torch.inference_mode(False), torch.no_grad():
        given = {name: tensor.clone() for name, tensor in one.items()}
        expected: Named = module(given)
        try:
            with _quiet():
                program = torch.export.export(
                    module, (given,), dynamic_shapes=({n: _free(one[n], other[n]) for n in one},)
                )
                made = torch.onnx.export(
                    program, dynamo=True, verbose=False, input_names=list(one), output_names=list(expected)
                )
                assert made is not None
                made.save(str(path))
        except Exception as error:  # whatever tracing meets
            reason = str(error).strip().partition("\n")[0][:300]
            raise ExportError(f"{what} cannot be exported: {type(error).__name__}: {reason}") from error
        return expected, module(dict(other))


def _free(one: Tensor, other: Tensor) -> dict[int, object]:
    """The axes of a tensor that differ between rows and cells."""
    if one.ndim == 0:
        return {}
    differ = [axis for axis in range(1, one.ndim) if one.shape[axis] != other.shape[axis]]
    return dict.fromkeys([0, *differ], torch.export.Dim.DYNAMIC)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of its own steps."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
