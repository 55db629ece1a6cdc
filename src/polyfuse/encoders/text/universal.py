"""Meaning of texts in many languages, one vector per stretch: the Universal Sentence Encoder, always frozen."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.data.cells.universal import BEGIN, END, WIDTH, shapes, vectors
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.layers.positions import length_mask
from polyfuse.records import Spec, Tokens


class Universal(nn.Module):
    """Ready-made meaning of sentences in 16 languages, Chinese among them: 512 numbers per stretch of text, frozen.

    A text of up to ``stretch`` pieces (some 100 words) is one token; a longer one is cut into stretches of nearly equal
    length. Equal meaning lies close in all of its languages: ar, de, en, es, fr, it, ja, ko, nl, pl, pt, ru, th, tr,
    zh (both scripts).

    Args:
        path: ``starter:universal``, or a folder that it was converted to.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        stretch: pieces of a stretch at most.
        most: stretches of a text at most; what is longer is cut.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: its package is not installed or not the one that is known, or the folder holds something else.

    See also:
        ``ngrams`` for names, codes and key words; both side by side are better than either where rows are few.
    """

    paper = "Yang et al., Multilingual Universal Sentence Encoder for semantic retrieval, ACL 2020"
    fixed = True  # its weights are never trained

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build the encoder again from the files of its ``Spec``; its weights come later."""
        return {"path": str(folder), "weights": "random"}

    @spec_of()
    @staticmethod
    def wants(path: str, weights: str, stretch: int, most: int) -> Spec:
        """Stretches of pieces."""
        folder = _find_weights(path, weights)
        keywords = {"file": str(folder / "tokenizer.json"), "stretch": stretch, "most": most, "around": [BEGIN, END]}
        return Spec("text.stretches", keywords, files_to_save(folder))  # the fitted transform keeps the tokenizer

    def __init__(
        self, *, path: str = "starter:universal", weights: str = "checkpoint", stretch: int = 128, most: int = 8
    ):
        super().__init__()
        folder = _find_weights(path, weights)
        self.width, self.names = WIDTH, list(shapes())
        for name, value in (_read_weights(folder) if weights == "checkpoint" else _random_weights()).items():
            if name == "table":
                self.register_buffer(name, value)  # bytes
            else:
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``ids`` (U, S, L), ``span`` (U, S, 2), ``lengths`` (U,) -> one token per stretch (U, S, 512)."""
        ids_USL = fields["ids"]
        with torch.autocast(ids_USL.device.type, enabled=False):  # sums of many squares, and cheap
            weights, traced = {name: getattr(self, name) for name in self.names}, torch.compiler.is_compiling()
            x_ND = vectors(torch, weights, ids_USL.flatten(0, 1), whole=traced)
        x_USD = x_ND.reshape(ids_USL.shape[0], ids_USL.shape[1], WIDTH)
        mask_US = length_mask(fields["lengths"].clamp_min(1), ids_USL.shape[1])
        return Tokens(x_USD, mask_US & present_B[:, None], (ids_USL.shape[1],), span_BT2=fields["span"])


def _find_weights(path: str, weights: str) -> Path:
    """The converted folder.

    Raises:
        ValueError: it holds another checkpoint.
    """
    folder = find(path, weights=weights, modality="text")
    kind = json.loads((folder / "config.json").read_text(encoding="utf8")).get("model_type")
    if kind != "universal_sentence_encoder":
        raise ValueError(f"{path} holds a {kind} model; the encoder universal reads starter:universal alone")
    return folder


def _read_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def _random_weights() -> dict[str, Tensor]:
    """Weights in the right shapes, small enough that nothing overflows."""
    drawn = {name: 0.05 * torch.randn(shape) for name, shape in shapes().items() if name != "table"}
    return {"table": torch.randint(0, 64, shapes()["table"], dtype=torch.uint8), **drawn}
