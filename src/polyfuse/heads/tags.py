"""A tag per word: names, parts of speech, slots; the words of a text are a column that the head reads itself."""

# ruff: noqa: ARG002, ARG004 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.contracts import Companion, spec_of
from polyfuse.data.cells.tag_schemes import OUTSIDE, spans_of
from polyfuse.data.cells.target_tags import FORMS, written_back
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.heads.last_layer import LastLayer, label_names
from polyfuse.layers.positions import length_mask
from polyfuse.layers.readout import Readout
from polyfuse.layers.viterbi import best_chain, iob2_steps, log_sum_of_chains, score_of_chain
from polyfuse.layers.word_tokens import first_by_word, mean_by_word
from polyfuse.records import Batch, Fused, Prediction, Spec, Tokens


class Tags(nn.Module):
    """A tag per word, as many as there are words, in a way that never breaks the scheme of the tags.

    The tokens of each word, after fusion, are scored together with the joint tokens, so that a picture reaches every
    word under every fusion. A word that no token touches is tagged by the latter alone.

    Args:
        name: the output's.
        width: D.
        classes: the tags, as IOB2 where they mark spans.
        scheme: in which they are written.
        typical: words of a training row, by which the losses of its words are divided.
        words: the column of the words.
        form: ``tags``, one per word, or ``spans`` of characters.
        inputs: names of the inputs that read the column of words.
        crf: learn how likely each step from a tag to the next is. Training and prediction then go through a text word
            by word, at C * C steps each: with nine tags several times the cost of the head without.
        pool: of the joint tokens, see ``layers.readout``.
        dropout: before each layer, in training.
        path: a Hugging Face token classifier, of which this is the last layer: its labels, said of the first token of
            each word as the checkpoint's own encoder gives it. It answers at once, and learns where a recipe asks for
            epochs.
        files: folder with what a saved model kept of that checkpoint; its weights come later.

    See also: ``labels``, where several labels go to a whole row.
    """

    paper = "Lample et al., Neural architectures for named entity recognition, NAACL 2016 (crf)"
    task = "tags"

    @spec_of("name", "width", "classes", "scheme", "typical", "files")
    @staticmethod
    def wants(form: str, path: str | None) -> Spec:
        """The target column, with that of the words beside it.

        Raises:
            FileNotFoundError: no such checkpoint.
            ValueError: it classifies no tokens.
        """
        if path is None:
            return Spec("target.tags", {"form": form})
        return Spec("target.tags", {"form": form, "known": label_names(path)}, files_to_save(find(path)))

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        scheme: str,
        typical: float,
        words: str | None = None,
        form: str = "tags",
        inputs: Sequence[str] | None = None,
        crf: bool = False,
        pool: str = "auto",
        dropout: float = 0.1,
        path: str | None = None,
        files: Path | None = None,
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form: expected {' or '.join(FORMS)}, found {form!r}")
        self.name, self.classes, self.scheme, self.form = name, classes, scheme, form
        self.typical, self.inputs, self.crf = max(1.0, typical), tuple(inputs or ()), crf
        self.last = None if path is None and files is None else LastLayer(path, files)
        self.drop = nn.Dropout(dropout)
        if self.last is None:
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.inputs)
            self.sees = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.inputs)
            self.joint = Readout(width, width, pool=pool, dropout=dropout)
            self.out = nn.Linear(width, len(classes))
        elif len(self.inputs) != 1:
            raise ValueError(f"path: a checkpoint reads one input, and {len(self.inputs)} read the words; name one")
        count = len(classes)
        steps_CC, first_C = (
            (torch.zeros(count, count), torch.zeros(count)) if scheme == "plain" else iob2_steps(classes)
        )
        self.allowed_CC: Tensor
        self.begins_C: Tensor
        self.register_buffer("allowed_CC", steps_CC, persistent=False)
        self.register_buffer("begins_C", first_C, persistent=False)
        self.steps_CC = nn.Parameter(torch.zeros(count, count)) if crf else None
        self.ends_2C = nn.Parameter(torch.zeros(2, count)) if crf else None

    @staticmethod
    def columns(*, words: str | None = None, **others: Any) -> list[str]:
        """The column of the words."""
        return [] if words is None else [words]

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again, where it is the last layer of a checkpoint."""
        return {"files": folder} if (folder / "config.json").is_file() else {}

    @staticmethod
    def companion(*, path: str | None = None, inputs: Sequence[str] | None = None, **others: Any) -> Companion | None:
        """The encoder of the checkpoint, where this is its last layer.

        Raises:
            ValueError: several inputs read the words.
        """
        if path is None:
            return None
        if inputs is not None and len(inputs) != 1:
            raise ValueError(f"path: one input is read by the checkpoint; name it in inputs, found {', '.join(inputs)}")
        return Companion("text", path, {}, inputs[0] if inputs else "auto", True, "frozen", learns=True)

    @staticmethod
    def reading(input: str, **keywords: Any) -> dict[str, Any]:
        """Its keywords, reading that input."""
        return {**keywords, "inputs": [input]}

    @property
    def reads(self) -> str | None:
        """The input that it reads as the checkpoint's encoder gives it."""
        return None if self.last is None else self.inputs[0]

    @property
    def reads_width(self) -> int | None:
        """Of those tokens."""
        return None if self.last is None else self.last.width

    @staticmethod
    def own(*, form: str = "tags", **others: Any) -> Spec:
        """Where the words lie: items of a list, or runs between blanks; of texts with spans, words and signs."""
        return Spec("text.split", {"signs": form == "spans"})

    def logits(self, fused: Fused, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of each word (B, W, C) float32, words of each row (B,), and their places (B, W, 2)."""
        cells = batch.own[self.name]
        at_B = cells.index_BK[:, 0]
        span_BW2 = cells.fields["span"][at_B.clamp_min(0)]  # type: ignore[index]
        lengths_B = cells.fields["lengths"][at_B.clamp_min(0)] * (at_B >= 0)  # type: ignore[index]
        if self.last is not None:
            return self._of_checkpoint(self.last, fused, span_BW2, lengths_B), lengths_B, span_BW2
        hidden_BWD = self.joint(fused.tokens)[:, None].expand(-1, span_BW2.shape[1], -1)
        for name, norm, see in zip(self.inputs, self.norms, self.sees, strict=True):
            tokens = fused.by_input.get(name)
            if tokens is None:  # a model of fewer inputs than the recipe was made for
                continue
            mean_BWD, known_BW = mean_by_word(_with_places(name, tokens), span_BW2, lengths_B)
            hidden_BWD = hidden_BWD + see(self.drop(norm(mean_BWD))) * known_BW[..., None]
        scores_BWC = self.out(self.drop(nn.functional.gelu(hidden_BWD)))
        return scores_BWC.float(), lengths_B, span_BW2

    def _of_checkpoint(self, last: LastLayer, fused: Fused, span_BW2: Tensor, lengths_B: Tensor) -> Tensor:
        """What a checkpoint says of the first token of each word (B, W, C); of a word without one ``O``, if any."""
        x_BWH, known_BW = first_by_word(fused.own[self.inputs[0]], span_BW2, lengths_B)
        scores_BWC = last(self.drop(x_BWH)).float()
        nothing_C = torch.tensor([float(tag == OUTSIDE) for tag in self.classes], device=scores_BWC.device)
        return torch.where(known_BW[..., None], scores_BWC, nothing_C)

    def _chain(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of steps (C, C), of beginning (C,) and of ending (C,) with a tag; forbidden ones among them."""
        if self.steps_CC is None or self.ends_2C is None:
            return self.allowed_CC, self.begins_C, torch.zeros_like(self.begins_C)
        return self.steps_CC.float() + self.allowed_CC, self.ends_2C[0].float() + self.begins_C, self.ends_2C[1].float()

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Cross-entropy of the words of a row, or of the whole chain, over the words of a typical one (B,)."""
        target_BW, present_B = self._target(batch)
        scores_BWC, lengths_B, _ = self.logits(fused, batch)
        lengths_B = lengths_B * present_B
        words = scores_BWC.shape[1]
        target_BW = nn.functional.pad(target_BW, (0, max(0, words - target_BW.shape[1])))[:, :words]
        with torch.autocast(scores_BWC.device.type, enabled=False):
            if self.crf:
                chain = self._chain()
                own_B = score_of_chain(scores_BWC, target_BW, lengths_B, *chain)
                loss_B = log_sum_of_chains(scores_BWC, lengths_B, *chain) - own_B
            else:
                log_BWC = scores_BWC.log_softmax(-1)
                loss_BW = -log_BWC.gather(2, target_BW[..., None])[..., 0]
                loss_B = (loss_BW * length_mask(lengths_B, words)).sum(1)
        return loss_B * present_B / self.typical

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        cells = batch.outputs[self.name]
        return cells.rows(cells.fields["target"]), cells.present_B  # type: ignore[index]

    def _best(self, scores_BWC: Tensor, lengths_B: Tensor) -> Tensor:
        """The tags of each row's words (B, W)."""
        log_BWC = scores_BWC if self.crf else scores_BWC.log_softmax(-1)
        return best_chain(log_BWC, lengths_B, *self._chain())

    def quality(self, fused: Fused, batch: Batch) -> Tensor:
        """F1 of the spans of a row, 1 where there are none and none is said; of plain labels the share that is right.

        A number per row (B,).
        """
        target_BW, present_B = self._target(batch)
        scores_BWC, lengths_B, _ = self.logits(fused, batch)
        said, lengths = self._best(scores_BWC, lengths_B).cpu().numpy(), lengths_B.tolist()
        found = []
        for b, (length, present) in enumerate(zip(lengths, present_B.tolist(), strict=True)):
            true_W, said_W = target_BW[b, :length].cpu().numpy(), said[b, :length]
            found.append(self._agreement(true_W, said_W) if present else 0.0)
        return torch.tensor(found, device=scores_BWC.device)

    def _agreement(self, true_W: np.ndarray, said_W: np.ndarray) -> float:
        if self.scheme == "plain":
            return float((true_W == said_W).mean()) if len(true_W) else 1.0
        true, said = (set(spans_of([self.classes[n] for n in side])) for side in (true_W, said_W))
        return 2 * len(true & said) / (len(true) + len(said)) if true or said else 1.0

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch) -> Prediction:
        """Tags or spans of every row, with ``confidence``: the geometric mean of the probabilities of its tags.

        Of a CRF these are the probabilities that each word's scores give it alone.
        """
        scores_BWC, lengths_B, span_BW2 = self.logits(fused, batch)
        best_BW = self._best(scores_BWC, lengths_B)
        real_BW = length_mask(lengths_B, best_BW.shape[1])
        own_BW = scores_BWC.log_softmax(-1).gather(2, best_BW[..., None])[..., 0] * real_BW
        confidence_B = (own_BW.sum(1) / lengths_B.clamp_min(1)).exp()
        rows = zip(best_BW.tolist(), span_BW2.tolist(), lengths_B.tolist(), strict=True)
        value = [
            written_back([self.classes[n] for n in best[:length]], places, self.scheme, self.form)
            for best, places, length in rows
        ]
        return Prediction(value, None, {"confidence": confidence_B.cpu().numpy()})


def _with_places(name: str, tokens: Tokens) -> Tokens:
    """Tokens that say where they lie.

    Raises:
        ValueError: they do not.
    """
    if tokens.span_BT2 is None:
        raise ValueError(
            f"input {name!r}: its encoder does not say where in the text its tokens lie, so that no word meets them; "
            "expected an encoder such as words, ngrams, gru or pretrained, and a fusion that keeps tokens"
        )
    return tokens
