"""A model that was exported, answering rows without torch: encoders once, then what joins them for every question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells.source import Limits
from polyfuse.runtime.answers import FORMS
from polyfuse.runtime.cells import Reader, Reading, Said, read_transform
from polyfuse.runtime.folder import ExportError, read_manifest
from polyfuse.runtime.servant import Answer, InputFacts, OutputFacts, Record
from polyfuse.runtime.session import Graph
from polyfuse.runtime.writing import Writer
from polyfuse.trust import Trust, trust_packages

BATCH = 128  # rows that are encoded, or joined, at once
SILENT = ("mask", "there", "block", "weights")  # arrays that are 0 where an input is missing


class Runtime:
    """What an exported folder answers; the protocol ``servant.Servant``.

    Args:
        folder: as ``polyfuse export`` wrote it.
        media_root: folder that paths in cells start from; without it no path is read, only content.
        threads: that one answer may use; 0 leaves it to onnxruntime.
        trust: see ``load``.

    Raises:
        ExportError: see ``folder.read_manifest``.

    Attributes:
        name: of the model.
        manifest: all that the folder says of itself: ``recipe``, ``report``, versions, checksums.

    Example:
        >>> from polyfuse.runtime import load
        >>> answers, notes = load("house-price-onnx").predict([{"area": 120, "text": "by the sea"}])
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        media_root: str | Path | None = None,
        threads: int = 0,
        trust: Trust = (),
    ):
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        facts = self.manifest
        self.name: str = facts["name"]
        self.inputs: Mapping[str, InputFacts] = {n: _input_facts(n, told) for n, told in facts["inputs"].items()}
        self.outputs: Mapping[str, OutputFacts] = {n: _output_facts(n, told) for n, told in facts["outputs"].items()}
        how, root = facts["reading"], None if media_root is None else Path(media_root)
        self._reading = Reading(Limits(**how["limits"]), how["slots"], how["formats"], root)
        with trust_packages(trust):
            self._readers = {n: self._read_readers(told["readers"]) for n, told in facts["inputs"].items()}
        read = partial(Graph, threads=threads, calibrated=facts.get("calibrated", False))
        self._graphs = {n: read(self.folder / told["graph"]) for n, told in facts["inputs"].items()}
        self._keys: dict[str, str] = {n: told["key"] for n, told in facts["inputs"].items()}
        self._joint = read(self.folder / facts["joint"]) if facts["joint"] else None
        self._told: dict[str, dict[str, Any]] = {n: told["answers"] for n, told in facts["outputs"].items()}
        self._output_keys: dict[str, str] = {n: told["key"] for n, told in facts["outputs"].items()}
        self._writers = {n: self._writer(told, read) for n, told in self._told.items() if told["form"] == "text"}

    def __repr__(self) -> str:
        return f"Runtime({self.name!r}: {', '.join(self.inputs)} -> {', '.join(self.outputs) or 'no output'})"

    def _read_readers(self, told: Sequence[Mapping[str, Any]]) -> list[Reader]:
        return [
            Reader(one["key"], tuple(one["columns"]), read_transform(self.folder / one["preprocessing"]))
            for one in told
        ]

    def _writer(self, told: dict[str, Any], read: Callable[[Path], Graph]) -> Writer:
        step = read(self.folder / told["step"]) if told.get("step") else None
        return Writer(told, step)

    def predict(
        self, records: Sequence[Record], *, without: Collection[str] = ()
    ) -> tuple[list[dict[str, Answer]], list[str]]:
        """For each row, output -> answer; and what is to be said of cells that could not be read.

        Args:
            records: rows, column -> cell; a column that is not there is a missing cell.
            without: names of inputs that count as missing in every row.

        Raises:
            ValueError: no such input, or a record that is no mapping.
        """
        self._check(records, without)
        said, answers = Said(), list[dict[str, Answer]]()
        for first in range(0, len(records), BATCH):
            heard = self._heard(records[first : first + BATCH], said, first)
            found = self._joined(self._hidden(heard, without))
            columns = [(name, self._answers(name, found, first)) for name in self.outputs]
            count = len(records[first : first + BATCH])
            answers += [{name: own[b] for name, own in columns} for b in range(count)]
        return answers, said.sentences()

    def feeds(self, records: Sequence[Record]) -> dict[str, dict[str, np.ndarray]]:
        """File of a graph -> what it takes of some rows, cells read and encoded; but for graphs of single steps."""
        found, heard = {}, dict[str, np.ndarray]()
        for name, graph in self._graphs.items():
            given = [reader.gathered(records, self._reading, Said()) for reader in self._readers[name]]
            own = {key: array for part in given for key, array in part.items()}
            heard |= graph(own)
            found[self.manifest["inputs"][name]["graph"]] = {key: own[key] for key in graph.takes}
        if self._joint is not None:
            found[self.manifest["joint"]] = {key: heard[key] for key in self._joint.takes}
        return found

    def answer(self, feeds: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, Answer]]:
        """Answers to rows whose cells are read already, as ``feeds`` gave them."""
        heard: dict[str, np.ndarray] = {}
        for name, graph in self._graphs.items():
            heard |= graph(feeds[self.manifest["inputs"][name]["graph"]])
        found = self._joined(heard)
        count = len(next(iter(heard.values())))
        columns = [(name, self._answers(name, found, 0)) for name in self.outputs]
        return [{name: own[b] for name, own in columns} for b in range(count)]

    def scores(self, records: Sequence[Record], subsets: Sequence[Collection[str]]) -> dict[str, np.ndarray]:
        """Output -> (S, N, C) float32: probabilities or numbers for each subset of inputs that stay.

        Encoders run once, whatever the number of subsets. Outputs without scores are left out.

        Raises:
            ValueError: no such input.
        """
        self._check(records, [name for keep in subsets for name in keep])
        scored = [name for name in self.outputs if name not in self._writers]
        parts: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in subsets] for name in scored}
        for first in range(0, len(records), BATCH) if scored else ():
            some = records[first : first + BATCH]
            heard, at_once = self._heard(some, Said(), first), max(1, BATCH // len(some))
            for at in range(0, len(subsets), at_once):
                asked = subsets[at : at + at_once]
                looks = [self._hidden(heard, [name for name in self.inputs if name not in keep]) for keep in asked]
                found = self._joined({key: np.concatenate([look[key] for look in looks]) for key in heard})
                for name in scored:
                    values = self._values(name, found).astype(np.float32)
                    for n, own in enumerate(np.split(values, len(asked))):
                        parts[name][at + n].append(own)
        return {
            name: np.stack([np.concatenate(own) if own else self._nothing(name) for own in by_subset])
            if by_subset
            else self._nothing(name)[None][:0]
            for name, by_subset in parts.items()
        }

    def _nothing(self, output: str) -> np.ndarray:
        return np.zeros((0, max(1, len(self.outputs[output].labels))), np.float32)

    def embed(self, records: Sequence[Record], *, input: str | None = None) -> np.ndarray:
        """(N, D) float32 vectors of one input, or of all together; NaN where a row has nothing to embed.

        Of an aligned input it is the unit vector in the shared space.

        Raises:
            ValueError: no such input, or a model without outputs, which joins nothing.
        """
        self._check(records, () if input is None else (input,))
        if input is None and self._joint is None:
            raise ValueError(f"{self.name} has no outputs, hence nothing that joins its inputs: name one of them")
        vectors = []
        for first in range(0, len(records), BATCH):
            some = records[first : first + BATCH]
            heard = self._heard(some, Said(), first, None if input is None else [input])
            present_B = np.any([heard[self._mask(name)].any(1) for name in ([input] if input else self.inputs)], axis=0)
            vector_BD = self._joined(heard)["fused"] if input is None else self._own_vector(input, heard)
            vectors.append(np.where(present_B[:, None], vector_BD, np.nan).astype(np.float32))
        return np.concatenate(vectors) if vectors else np.zeros((0, self.manifest["width"]), np.float32)

    def _own_vector(self, input: str, heard: Mapping[str, np.ndarray]) -> np.ndarray:
        key = self._keys[input]
        if f"{key}.shared" in heard:
            shared_BE = heard[f"{key}.shared"]
            return shared_BE / np.linalg.norm(shared_BE, axis=1, keepdims=True).clip(1e-12)
        x_BTD, mask_BT1 = heard[f"{key}.n0.x"], heard[self._mask(input)][..., None]
        return (x_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clip(1)

    def stream(self, record: Record, output: str) -> Iterator[str]:
        """The text of one output as it grows, each with all that came before; the last is what ``predict`` says.

        Raises:
            ValueError: no such output, or one that does not write.
        """
        if output not in self._writers:
            known = ", ".join(self._writers) or "none"
            raise ValueError(f"output {output!r} writes no text; outputs that do: {known}")
        self._check([record], ())
        return self._streamed(record, output)

    def _streamed(self, record: Record, output: str) -> Iterator[str]:
        found = self._joined(self._heard([record], Said(), 0))
        yield from self._writers[output].stream(self._kept(output, found))

    def _check(self, records: Sequence[Record], inputs: Collection[str]) -> None:
        for name in inputs:
            if name not in self.inputs:
                raise ValueError(f"{self.name} has no input {name!r}; its inputs: {', '.join(self.inputs)}")
        if isinstance(records, Mapping) or not all(isinstance(record, Mapping) for record in records):
            raise ValueError('records: expected a list of rows, each column -> cell, such as [{"area": 120}]')

    def _heard(
        self, records: Sequence[Record], said: Said, first: int, inputs: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        """What encoders say of some rows, by name."""
        found: dict[str, np.ndarray] = {}
        own = Said()
        for name, graph in self._graphs.items():
            if inputs is None or name in inputs:
                given = [reader.gathered(records, self._reading, own) for reader in self._readers[name]]
                found |= graph({key: array for part in given for key, array in part.items()})
        said.add(own, first)
        return found

    def _mask(self, input: str) -> str:
        return f"{self._keys[input]}.n0.mask"

    def _hidden(self, heard: dict[str, np.ndarray], inputs: Collection[str]) -> dict[str, np.ndarray]:
        """The same without some inputs: their tokens masked, their features 0."""
        keys = {self._keys[name] for name in inputs}
        keys |= {reader.key for name in inputs for reader in self._readers[name]}
        gone = [key for key in heard if key.split(".")[0] in keys and key.rpartition(".")[2] in SILENT]
        return {**heard, **{key: np.zeros_like(heard[key]) for key in gone}}

    def _joined(self, heard: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {} if self._joint is None else self._joint(heard)

    def _values(self, output: str, found: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities or numbers of an output (B, C)."""
        told = self._told[output]
        return FORMS[told["form"]][0](found[f"{self._output_keys[output]}.scores"], told)

    def _answers(self, output: str, found: Mapping[str, np.ndarray], first: int) -> list[Answer]:
        if output in self._writers:
            texts, sure = self._writers[output].write(self._kept(output, found), first)
            return [Answer(text, None, float(one)) for text, one in zip(texts, sure, strict=True)]
        told = self._told[output]
        return [FORMS[told["form"]][1](row, told) for row in self._values(output, found)]

    def _kept(self, output: str, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What a writer writes about."""
        start = f"{self._output_keys[output]}."
        return {key.removeprefix(start): array for key, array in found.items() if key.startswith(start)}


def _input_facts(name: str, told: Mapping[str, Any]) -> InputFacts:
    return InputFacts(name, told["modality"], tuple(told["columns"]), told["kinds"], told["choices"])


def _output_facts(name: str, told: Mapping[str, Any]) -> OutputFacts:
    form = told["answers"]["form"]
    if form != "text" and form not in FORMS:
        raise ExportError(f"output {name!r} answers in the form {form!r}, which this version does not know: update it")
    return OutputFacts(name, told["head"], tuple(told["answers"].get("classes", ())), writes=form == "text")
