"""A model written for others to run: graphs, fitted preprocessing and a manifest, which ``runtime`` answers from."""

from polyfuse.export.onnx import to_onnx

__all__ = ["to_onnx"]
