"""ONNX graphs in 8 bits: weights before, activations as they come or by the ranges that some rows showed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.errors import extra

Feeds = Sequence[Mapping[str, np.ndarray]]
DYNAMIC = ("MatMul", "Gemm", "Gather", "Attention", "LSTM")  # what is quicker by whole numbers of 8 bits as they come
STATIC = ("MatMul", "Gemm", "Conv", "Gather")


def numbers(path: Path) -> tuple[int, int]:
    """How many numbers the weights of a graph are, and how many of them are not 0."""
    with extra("export"):
        import onnx
    found = [onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer if not _beside(one.name)]
    return sum(a.size for a in found), sum(int(np.count_nonzero(a)) for a in found)


def _beside(name: str) -> bool:
    """Whether numbers only say what others stand for."""
    return name.endswith(("_scale", "_zero_point"))


def quantised(source: Path, target: Path, *, fixed: Collection[str] = (), feeds: Feeds | None = None) -> None:
    """Write a graph with its weights in 8 bits.

    Kernels of convolutions are held in 8 bits and made full numbers, as whole numbers make them no quicker; where rows
    showed the ranges of activations, all is computed in 8 bits.

    Args:
        fixed: names of constants that are no weights, such as filters of a spectrogram and support vectors, which stay
            as they are, and what is computed of them alone.
        feeds: what the graph takes of some rows; None where activations are rounded as they come.
    """
    with extra("export"):
        import onnx
        from onnxruntime import quantization as bits

    plain = target.with_suffix(".plain.onnx")
    _folded(source, plain)
    graph = onnx.load(plain).graph
    kept = _named(onnx.load(source).graph, fixed)
    left = [node.name for node in graph.node if set(node.input) & kept]
    left += [f"{name}_MatMul" for name in left]  # what onnxruntime makes of a Gemm
    options: dict[str, Any] = {"per_channel": True, "weight_type": bits.QuantType.QInt8, "nodes_to_exclude": left}
    with _quiet():
        if feeds is None:
            bits.quantize_dynamic(plain, target, op_types_to_quantize=list(DYNAMIC), **options)
            _hold_kernels(target)
        else:
            reader: Any = _Reader(feeds)
            bits.quantize_static(plain, target, reader, op_types_to_quantize=list(STATIC), **options)
    plain.unlink()
    _drop_labels(target)


def _drop_labels(path: Path) -> None:
    """Without names of nodes and shapes in between, which onnxruntime finds itself: 4 % of a small graph."""
    import onnx

    model = onnx.load(path)
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, path)


def _named(graph: Any, fixed: Collection[str]) -> set[str]:
    """The constants so named, and those that are made of them and of other constants when a graph is folded."""
    constants = {one.name for one in graph.initializer}
    found = {name for name in constants if any(name.endswith(ending) for ending in fixed)}
    for node in graph.node:  # in the order in which they are computed
        if all(name in constants or not name for name in node.input):
            constants.update(node.output)
            if found.intersection(node.input):
                found.update(node.output)
    return found


def _folded(source: Path, target: Path) -> None:
    """Constants that are computed of others become constants, and notes of whoever wrote the graph go."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath, options.log_severity_level = str(target), 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(target)
    for at, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{at}"
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.save(model, target)


def _hold_kernels(path: Path) -> None:
    """Hold kernels of convolutions in 8 bits, with a scale per channel that they give."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    for one in [one for one in graph.initializer if one.name in kernels and one.data_type == onnx.TensorProto.FLOAT]:
        weight = numpy_helper.to_array(one)
        most_O = np.abs(weight).reshape(len(weight), -1).max(1).clip(1e-12)
        scale_O = (most_O / 127).astype(np.float32)
        rows = weight / scale_O.reshape(-1, *[1] * (weight.ndim - 1))
        name = one.name
        held = [(f"{name}_int8", rows.round().astype(np.int8)), (f"{name}_scale", scale_O)]
        held.append((f"{name}_zero_point", np.zeros(len(weight), np.int8)))
        graph.initializer.remove(one)
        graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in held)
        graph.node.insert(0, helper.make_node("DequantizeLinear", [key for key, _ in held], [name], axis=0))
    onnx.save(model, path)


class _Reader:
    """Rows by which ranges are found."""

    def __init__(self, feeds: Feeds):
        self.left: Iterator[Mapping[str, np.ndarray]] = iter(feeds)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """The next of them."""
        return next(self.left, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """What onnxruntime advises of graphs is not for the user of a table."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
