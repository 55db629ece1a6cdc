"""Fused tokens -> a text: captions, answers, transcripts and translations are this head over other columns."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from polyfuse import registry
from polyfuse.contracts import Attends, Companion, ReadsEncoder, StepsApart, WritesAlong, offers, says
from polyfuse.data.cells.spelling import PAD, Speller
from polyfuse.data.cells.target_text import LONGEST
from polyfuse.heads.text.attended import Attended, attended
from polyfuse.heads.text.checkpoint import Spelling
from polyfuse.heads.text.decode import Decoding, Rules
from polyfuse.heads.text.learning import Learning, References
from polyfuse.heads.text.memory import of_rows, parts
from polyfuse.heads.text.prompt import Prompted, Template
from polyfuse.heads.text.self_critical import Draws, Reward, self_critical
from polyfuse.records import Batch, Fused, Prediction, Spec, Tokens

Decoder = str | Mapping[str, Any]
"""A decoder by name, or with keywords: ``{"name": "transformer", "depth": 3}``."""


class Text(nn.Module):
    """A text per row, written by a decoder that reads the fused tokens and those of every input.

    Args:
        name: the output's.
        width: D.
        speller: how texts are spelt, as JSON; a fact of ``target.text``.
        longest: units of the longest text of training; a fact as well.
        decoder: ``transformer``, ``gru``, ``ctc``, ``lm`` or ``pretrained``, or one with keywords, such as
            ``{name: transformer, depth: 3}``.
        unit, vocabulary, max_length: see ``data.cells.target_text``; ``ctc`` writes characters by default.
        learn: how references are learnt: ``references``, ``label_smoothing``, ``scheduled_sampling``,
            ``self_critical``, ``samples`` (see ``heads.text.learning``).
        decode: how texts are written: ``beams``, ``length_penalty``, ``sample``, ``temperature``, ``top_k``, ``top_p``,
            ``seed``, ``no_repeat``, ``min_length``, ``max_length``, ``answers`` (see ``heads.text.decode``).
        dropout: of the decoder, in training.
        files: folder with what a saved model kept of its checkpoint; its weights come later.

    See also: ``category`` where there are few answers, each of them known.
    """

    paper = "Vinyals et al., Show and Tell, CVPR 2015"
    task = "text"

    @staticmethod
    def wants(
        *,
        decoder: Decoder = "transformer",
        unit: str = "auto",
        vocabulary: int = 8000,
        max_length: int | str = "auto",
        learn: Mapping[str, Any] | None = None,
        decode: Mapping[str, Any] | None = None,
        dropout: float = 0.1,
    ) -> Spec:
        """The reference texts as ids.

        Raises:
            ValueError: no such decoder, or a keyword or option that it does not have.
        """
        del dropout
        name, keywords = chosen(decoder)
        if Learning.of(learn).self_critical and not offers(registry.text_decoder(name), Draws):
            raise ValueError(
                f"learn.self_critical: {name} draws no texts that could be learnt by their worth; leave it out, or "
                "take the decoder transformer, gru or lm"
            )
        Decoding().changed(dict(decode or {}))
        if (own := spelling_of(name, keywords)) is not None:
            if unit != "auto":
                raise ValueError(f"unit: a checkpoint spells texts by its own tokenizer; leave out {unit!r}")
            return _of_checkpoint(own, max_length)
        unit = "char" if name == "ctc" and unit == "auto" else unit
        return Spec("target.text", {"unit": unit, "vocabulary": vocabulary, "max_length": max_length})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        speller: Mapping[str, Any],
        longest: int,
        decoder: Decoder = "transformer",
        unit: str = "auto",
        vocabulary: int = 8000,
        max_length: int | str = "auto",
        learn: Mapping[str, Any] | None = None,
        decode: Mapping[str, Any] | None = None,
        dropout: float = 0.1,
        files: Path | None = None,
    ):
        super().__init__()
        del unit, vocabulary, max_length  # the transform has heeded them
        self.name, self.speller, self.longest = name, Speller.restored(speller), longest
        self.learn = Learning.of(learn)
        self.reward: Reward | None = None
        self.progress, self.usual = 0.0, 1.0
        kind, keywords = chosen(decoder)
        keywords |= {"path": str(files), "weights": "random"} if files is not None else {}
        self.decoder: Any = registry.text_decoder(kind)(self.speller.vocabulary, width, dropout, **keywords)
        self.how = Decoding()
        self.how = self.writing(**(decode or {}))

    @staticmethod
    def columns(*, decoder: Decoder = "transformer", **others: Any) -> list[str]:  # noqa: ARG004 - read no columns
        """Columns of the table that the decoder's prompt names.

        Raises:
            ValueError: no such decoder, or a prompt that cannot be read, or that names columns to a decoder that is
                told none.
        """
        name, keywords = chosen(decoder)
        named = Template(keywords.get("prompt", "")).columns
        if named and not offers(registry.text_decoder(name), Prompted):
            known = ", ".join(one for one in registry.TEXT_DECODERS if offers(registry.text_decoder(one), Prompted))
            raise ValueError(
                f"prompt: decoder {name} begins every text alike, and {{{named[0]}}} would be a column of the table; "
                f"decoders that are told columns: {known}"
            )
        return named

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again from the files of its ``Spec``, where its decoder is a checkpoint."""
        return {"files": folder} if (folder / "config.json").is_file() else {}

    @staticmethod
    def companion(*, decoder: Decoder = "transformer", **_: Any) -> Companion | None:
        """The encoder whose tokens its decoder reads as they come, where it reads such."""
        name, keywords = chosen(decoder)
        made: Any = registry.text_decoder(name)
        return made.companion(**keywords) if offers(made, ReadsEncoder) else None

    @staticmethod
    def reading(input: str, *, decoder: Decoder, **keywords: Any) -> dict[str, Any]:
        """The head's keywords, its decoder reading that input."""
        name, own = chosen(decoder)
        made: Any = registry.text_decoder(name)
        return {**keywords, "decoder": {"name": name, **made.reading(input, **own)}}

    @property
    def reads(self) -> str | None:
        """The input that the decoder reads as its encoder gives it."""
        return says(self.decoder, "reads")

    @property
    def reads_width(self) -> int | None:
        """Of those tokens."""
        return says(self.decoder, "reads_width")

    @property
    def decoding(self) -> dict[str, Any]:
        """How texts are written, by name, for a report."""
        return self.how.said()

    def writing(self, **options: Any) -> Decoding:
        """How texts are written, the head's own way changed by some options.

        Raises:
            ValueError: no such option, one out of bounds, or an answer that cannot be spelt.
        """
        how = self.how.changed(options)
        self.decoder.check(how)
        self._rules(how)
        return how

    @property
    def rewarded_from(self) -> float:
        """Share of the schedule after which texts are learnt by their worth; 1 where they never are."""
        return 1.0 - self.learn.self_critical

    def rewarded_by(self, targets: Mapping[int, Any], train: Sequence[int]) -> None:
        """The references of rows, by which texts are worth something, and which rows train; none to forget them."""
        self.reward = Reward.of(targets, train) if targets else None
        known = [text for told in targets.values() for text in ((told,) if isinstance(told, str) else told)]
        self.usual = float(np.mean([len(ids) + 1 for ids in self.speller.spelt(known)])) if known else 1.0

    def at(self, progress: float) -> None:
        """How much of the schedule is over, from 0 to 1."""
        self.progress = progress

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Loss per row (B,) given the true text so far, a mean over references; 0 where the target is missing."""
        if self.training and self.reward is not None and self.progress >= self.rewarded_from:
            return self._of_worth(fused, batch, self.reward)
        return self._teacher_forced(fused, batch)

    def _of_worth(self, fused: Fused, batch: Batch, reward: Reward) -> Tensor:
        """Loss per row (B,) by what drawn texts are worth, per unit of a usual text; 0 where the target is missing."""
        memory, there_b = self._about(fused, batch), batch.outputs[self.name].present_B.nonzero()[:, 0]
        loss_B = 0.0 * memory.x_BTD.flatten(1).sum(1).float()
        if not len(there_b):
            return loss_B
        rows = batch.rows_B[there_b].repeat_interleave(self.learn.samples).tolist()
        own = self.speller
        loss_b = self_critical(
            self.decoder,
            of_rows(memory, there_b),
            Rules(own.begin, own.end, own.banned, self.longest),
            self.learn.samples,
            lambda ids: reward(rows, list(map(own.text, ids))),
        )
        return loss_B.index_add(0, there_b, loss_b / self.usual)

    def _teacher_forced(self, fused: Fused, batch: Batch) -> Tensor:
        cells = batch.outputs[self.name]
        texts, row_N = self._texts(cells.fields, cells.index_BK[:, 0].clamp_min(0))  # type: ignore[arg-type]
        memory = self._about(fused, batch)
        if says(self.decoder, "packs"):  # it has what a row begins with once for all references
            texts = replace(texts, row_N=row_N)
        elif len(row_N) != len(batch):  # every row has one reference at least
            memory = of_rows(memory, row_N)
        loss_N = self.decoder.loss(memory, texts, self.learn)
        times_B = torch.bincount(row_N, minlength=len(batch)).clamp_min(1)
        loss_B = loss_N.new_zeros(len(batch)).index_add(0, row_N, loss_N) / times_B
        return loss_B * cells.present_B

    def _texts(self, fields: Mapping[str, Tensor], at_B: Tensor) -> tuple[References, Tensor]:
        """The references to learn, and the row of each (N,): one drawn per row in training, else all."""
        ids_BRT, lengths_BR, whole_BR = (fields[key][at_B] for key in ("ids", "units", "whole"))
        there_BR = lengths_BR > 0
        there_BR[:, 0] = True  # the blank has one, of no length
        if self.training and self.learn.references == "draw" and there_BR.shape[1] > 1:
            drawn_BR = torch.rand(there_BR.shape, device=there_BR.device).masked_fill(~there_BR, -1.0)
            there_BR = torch.zeros_like(there_BR).scatter(1, drawn_BR.argmax(1, keepdim=True), True)
        row_N, which_N = there_BR.nonzero(as_tuple=True)
        texts = References(ids_BRT[row_N, which_N], lengths_BR[row_N, which_N], whole_BR[row_N, which_N])
        return texts, row_N

    def _about(self, fused: Fused, batch: Batch) -> Tokens:
        """What every row's text is written about, and its prompt where the decoder is told one."""
        memory, decoder = self.decoder.read(fused), self.decoder
        if not offers(decoder, Prompted):
            return memory
        own, clean = batch.own.get(self.name), self.speller.without_signs
        return decoder.told(memory, decoder.template.of_rows(len(batch), own, clean))

    def quality(self, said: Any, batch: Batch) -> Tensor:
        """Minus the loss of the true texts (B,); writing them out would take many times as long.

        Where texts are learnt by their worth, which that loss does not tell, they are written out greedily, and it is
        their worth.
        """
        if self.reward is None:
            return -self.loss(said, batch)
        there_B = batch.outputs[self.name].present_B
        rows = batch.rows_B[there_B].tolist()
        memory = of_rows(self._about(said, batch), there_B.nonzero()[:, 0])
        with torch.no_grad():
            ids = self.decoder.write(memory, self._rules(Decoding()), Decoding(), rows).ids
        worth_b = torch.from_numpy(self.reward(rows, list(map(self.speller.text, ids)))).to(memory.x_BTD)
        return worth_b.new_zeros(len(batch)).masked_scatter(there_B, worth_b)

    def _rules(self, how: Decoding) -> Rules:
        """What texts must hold to."""
        answers = None if how.answers is None else self.speller.spelt(map(str, how.answers))
        for text, ids in zip(how.answers or (), answers or (), strict=True):
            if self.speller.unknown in ids or not ids:
                raise ValueError(f"answers: {text!r} has a {self.speller.unit} that training never showed, or nothing")
        longest = max(map(len, answers)) if answers else self.longest
        if how.max_length is not None and answers and how.max_length < longest:
            raise ValueError(f"max_length: {how.max_length} is less than the longest of the answers, {longest}")
        most = how.max_length or (longest if answers else max(longest, says(self.decoder, "most")))
        own = self.speller
        return Rules(own.begin, own.end, own.banned, most, max(1, how.min_length), how.no_repeat, answers)

    def portable(self) -> dict[str, Any]:
        """How texts are written without it.

        Raises:
            ValueError: its decoder cannot be taken apart.
        """
        decoder = self.decoder
        if not (offers(decoder, StepsApart) or offers(decoder, WritesAlong)) or offers(decoder, Prompted):
            raise ValueError(f"the decoder {type(decoder).__name__} keeps more between units than tensors of rows")
        if self.how.answers is not None and offers(decoder, WritesAlong):
            raise ValueError("ctc with a closed list of answers weighs all paths of each, which is not exported")
        how = {f.name: getattr(self.how, f.name) for f in fields(self.how) if f.name != "answers"}
        told = {"form": "text", "speller": self.speller.state(), "rules": asdict(self._rules(self.how)), "how": how}
        return {**told, "empty": decoder.empty()} if offers(decoder, StepsApart) else told

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch, **options: Any) -> Prediction:
        """A text per row, with ``confidence``: the geometric mean of its units' probabilities.

        Args:
            options: of ``decode``, over the head's own.
        """
        how = self.writing(**options)
        rows = batch.rows_B.tolist()
        written = self.decoder.write(self._about(fused, batch), self._rules(how), how, rows)
        return Prediction(list(map(self.speller.text, written.ids)), None, {"confidence": written.confidence})

    @torch.no_grad()
    def stream(self, fused: Fused, batch: Batch, **options: Any) -> Iterator[list[str]]:
        """The texts so far, after every further unit, until all are at their end."""
        how = self.writing(**options)
        rows = batch.rows_B.tolist()
        before: list[str] | None = None
        for written in self.decoder.steps(self._about(fused, batch), self._rules(how), how, rows):
            if before is not None:  # the first bytes of a character are none yet
                yield [text.rstrip("\ufffd") for text in before]
            before = list(map(self.speller.text, written.ids))
        if before is not None:
            yield before

    @property
    def attends(self) -> bool:
        """Whether its decoder can say what it looked at."""
        return offers(self.decoder, Attends)

    @torch.no_grad()
    def attended(self, fused: Fused, batch: Batch, **options: Any) -> list[Attended]:
        """What of the inputs the text of every row was written about, word by word.

        Args:
            options: of ``decode``, as for ``predict``.

        Raises:
            ValueError: the decoder looks at nothing word by word.
        """
        if not self.attends:
            known = ", ".join(name for name in registry.TEXT_DECODERS if offers(registry.text_decoder(name), Attends))
            raise ValueError(f"output {self.name!r}: its decoder has no attention to show; decoders that do: {known}")
        how, memory = self.writing(**options), self._about(fused, batch)
        ids = self.decoder.write(memory, self._rules(how), how, batch.rows_B.tolist()).ids
        before = [torch.tensor([self.speller.begin, *units], device=memory.x_BTD.device)[:-1] for units in ids]
        longest = max(map(len, before), default=0)
        share_NTS = memory.x_BTD.new_zeros(len(ids), 0, memory.x_BTD.shape[1])
        if longest:
            share_NTS = self.decoder.attention(memory, pad_sequence(before, batch_first=True, padding_value=PAD))
        return attended(share_NTS.float().cpu().numpy(), parts(fused), ids, self.speller)


def spelling_of(name: str, keywords: Mapping[str, Any]) -> Spelling | None:
    """How a decoder spells texts by itself; None where the units are learnt from training texts."""
    made: Any = registry.text_decoder(name)
    return made.spelling(**keywords) if hasattr(made, "spelling") else None


def _of_checkpoint(own: Spelling, max_length: int | str) -> Spec:
    """Reference texts as the ids of a checkpoint's own tokenizer.

    Raises:
        ValueError: the checkpoint has fewer positions than are asked for.
    """
    if own.room is not None and isinstance(max_length, int) and max_length > own.room:
        raise ValueError(f"max_length: the checkpoint has {own.room} positions for a text, found {max_length}")
    if own.room is not None and max_length == "auto":
        max_length = min(own.room, LONGEST)
    keywords = {"max_length": max_length, "tokenizer": own.tokenizer, "end": own.end, "lead": own.lead}
    return Spec("target.text", keywords, own.files)


def chosen(decoder: Decoder) -> tuple[str, dict[str, Any]]:
    """Name and keywords of a decoder.

    Raises:
        ValueError: no such decoder, or a keyword that it does not have.
    """
    keywords = {"name": decoder} if isinstance(decoder, str) else dict(decoder)
    name = keywords.pop("name", "transformer")
    made = registry.text_decoder(name)
    parameters = inspect.signature(made).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if other := [key for key in keywords if key not in known]:
        raise ValueError(f"decoder {name} has no keyword {other[0]!r}; known: {', '.join(known)}")
    needed = [
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in keywords
    ]
    if needed:
        raise ValueError(f"decoder {name} needs {needed[0]!r}: {{name: {name}, {needed[0]}: ...}}")
    return name, keywords
