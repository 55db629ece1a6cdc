"""Protocols of parts: the methods that each kind must have, and the optional ones.

A class is a part by what it offers; it inherits from ``nn.Module`` alone. What it *must* offer is a contract named
after its kind. What it *may* offer is a contract of its own, asked for by ``offers`` and by nothing else. What it may
*say* of itself is a class attribute of ``SAYINGS``, asked for by ``says``. Learners have a base class:
``learners.base``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

from torch import Tensor, nn

from polyfuse.records import Batch, Fused, Prediction, Spec, State, Tokens

# ---- keywords


class spec_of:
    """Around ``wants``: it names the keywords that it needs, and takes all that ``__init__`` takes, with its defaults.

    Args:
        facts: parameters of ``__init__`` that recipes do not set: those that the fitted transform gives, and of a head
            ``name`` and ``width``. All others are keywords of the part.

    Example:
        >>> class Mine(nn.Module):
        ...     @spec_of("image_size")
        ...     @staticmethod
        ...     def wants(size: int) -> Spec:
        ...         return Spec("image.pixels", {"size": size})
        ...
        ...     def __init__(self, *, image_size: tuple[int, int], size: int = 64, depth: int = 2): ...
        >>> Mine.wants(depth=3)
        Spec(transform='image.pixels', keywords={'size': 64}, files={})
    """

    def __init__(self, *facts: str):
        self.facts = facts

    def __call__(self, wants: Callable[..., Spec]) -> Any:
        self.wants: Callable[..., Spec] = getattr(wants, "__func__", wants)  # within a staticmethod
        self.needs = list(inspect.signature(self.wants).parameters)
        return self

    def __get__(self, part: object, kind: type) -> Callable[..., Spec]:
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
        own = [p for p in parameters if p.name not in self.facts]

        def wants(**keywords: Any) -> Spec:
            given = wants.__signature__.bind(**keywords)  # type: ignore[attr-defined]
            given.apply_defaults()
            return self.wants(**{name: given.arguments[name] for name in self.needs})

        wants.__doc__ = self.wants.__doc__
        wants.__signature__ = inspect.Signature(own, return_annotation=Spec)  # type: ignore[attr-defined]
        return wants


# ---- encoders


@runtime_checkable
class Encoder(Protocol):
    """Cells of one input -> tokens. ``width`` is that of a token; the model projects them to its own.

    ``__init__`` takes the facts of the transform that ``wants`` names, then the keywords of ``wants``, all by name.
    """

    width: int

    @staticmethod
    def wants() -> Spec:
        """The Spec of its columns, from its own keywords; makes no weights."""

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """Collated fields of the distinct cells, and which of them are there -> Tokens."""


@runtime_checkable
class GivesFeatures(Protocol):
    """An encoder that knows something of a cell before any training, which classical learners read."""

    def features(self, fields: dict[str, Tensor]) -> Any:
        """Fields -> features (U, F), or a ``layers.features.Bag``; they depend on no weight that is trained."""


@runtime_checkable
class Rebuilds(Protocol):
    """An encoder or head made of files, which its ``Spec`` names and a saved model keeps."""

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again from these files; its weights come later."""


@runtime_checkable
class HasLayers(Protocol):
    """An encoder of several layers, for staged unfreezing and rates that fall from the top down."""

    def layers_bottom_up(self) -> list[list[nn.Parameter]]:
        """Its parameters, layer by layer."""


@runtime_checkable
class ReadsEveryWord(Protocol):
    """An encoder of texts that may cut them, or leave capitals aside, and does neither where words are tagged."""

    @staticmethod
    def word_by_word(**keywords: Any) -> dict[str, Any]:
        """Its keywords where the words that it reads are tagged; those that are given stay."""


@runtime_checkable
class CanBeMasked(Protocol):
    """An encoder of whose cells some can be hidden, so that masked modelling can train it."""

    def masking(self) -> Any:
        """What of a cell can be hidden, and its fields without it: a ``layers.masking.Masking``."""


# ---- fusions


@runtime_checkable
class Fusion(Protocol):
    """Tokens of several inputs -> one representation. ``__init__`` takes ``(inputs, width, *, keywords)``."""

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """Input -> tokens at the model's width, any subset of inputs missing in a row -> Fused."""


@runtime_checkable
class Decides(Protocol):
    """A fusion that joins what inputs answer alone instead of their tokens; it ``wants_scores``."""

    def decide(
        self, scores: Mapping[str, Tensor], fused: Fused, combine: Callable[[Tensor, Tensor, str], Tensor]
    ) -> Tensor:
        """Scores of each input alone (B, C) -> scores of all together, joined as the head's ``combine`` does."""


# ---- heads


@runtime_checkable
class Head(Protocol):
    """A fused representation -> what an output holds. ``task`` names its judge in ``registry.JUDGES``.

    One that has no ``Scores`` answers alone: ensembles, mixup, decisions and objectives on single inputs leave it out.

    ``__init__`` takes ``name``, ``width``, the facts of the transform that ``wants`` names, then the keywords of
    ``wants``, all by name.
    """

    task: str

    @staticmethod
    def wants() -> Spec:
        """The Spec of its target column, from its own keywords."""

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Loss per row (B,), 0 where the target is missing."""

    def predict(self, fused: Fused, batch: Batch) -> Prediction:
        """Prediction of every row."""

    def quality(self, said: Any, batch: Batch) -> Tensor:
        """One number per row (B,), higher is better, by which the best weights are chosen.

        Args:
            said: its scores (B, C) where it has ``Scores``, else the ``Fused`` representation.
        """


@runtime_checkable
class Scores(Protocol):
    """A head whose answer comes from one vector of scores per row, on which validation, ensembles and mixup work."""

    def scores(self, fused: Fused, batch: Batch) -> Tensor:
        """Scores (B, C)."""

    def loss_of(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """Loss of scores per row (B,), 0 where the target is missing."""

    def decode(self, scores_BC: Tensor) -> Prediction:
        """Scores -> prediction."""

    def combine(self, scores_BMC: Tensor, weight_BM: Tensor, rule: str) -> Tensor:
        """Scores of several judges together (B, C): a weighted ``mean``, or their ``product``."""

    def divergence(self, scores_BC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
        """How far scores are from those of a teacher (B,)."""


@runtime_checkable
class ReadsColumns(Protocol):
    """A head that reads columns of its own, at prediction as in training; no encoder has to read them for it.

    ``Batch.own`` holds their cells under the output's name, as the transform ``text.plain`` makes them.
    """

    @staticmethod
    def columns(**keywords: Any) -> list[str]:
        """Names of these columns in the order of their slots, from its own keywords alone; none, as a rule.

        Raises:
            ValueError: the keywords name them in a way that cannot be read.
        """


@runtime_checkable
class ReadsWords(ReadsColumns, Protocol):
    """A head that answers word by word: of the columns it reads itself the only one holds the words.

    Its keywords ``words`` (that column), ``form`` (how its answers are written, see ``data.cells.target_tags``) and
    ``inputs`` (names of the inputs that read the column) are found in the table where a recipe leaves them out. Its
    target transform is joint, over the target and the words.
    """

    @staticmethod
    def own(**keywords: Any) -> Spec:
        """The transform of its column, in place of ``text.plain``, from its own keywords; it needs no fitting."""


@runtime_checkable
class AnswersInTime(Protocol):
    """A head that says when something is, by the seconds at which the tokens of recordings lie.

    Its keyword ``inputs`` (names of the inputs that read them, sound or video) is filled where a recipe leaves it out.
    """

    @staticmethod
    def timed(**keywords: Any) -> list[str]:
        """Names of these inputs, from its own keywords alone."""


@runtime_checkable
class ReadsPicture(ReadsColumns, Protocol):
    """A head that answers in the pixels of a picture: its only own column holds it, of which it is given the size.

    Its keywords ``picture`` (that column) and ``input`` (the name of the input that reads it) are found in the table
    where a recipe leaves them out. Its target transform is joint, over the target and the size of the picture, and is
    told by ``see_as(frame, reader)`` how that input sees pictures.
    """

    @staticmethod
    def picture(**keywords: Any) -> str | None:
        """That column, from its own keywords, where they name it."""


@runtime_checkable
class Writes(Protocol):
    """A head that makes its answer step by step, in a way that may be chosen anew for every prediction."""

    def writing(self, **options: Any) -> Any:
        """How it makes answers, its own options changed by these, with ``said()``; ``predict`` takes the same options.

        Raises:
            ValueError: no such option, or one out of bounds.
        """


@runtime_checkable
class Streams(Protocol):
    """A head that writes texts, which can be read while they are written."""

    def stream(self, fused: Fused, batch: Batch, **options: Any) -> Iterator[list[str]]:
        """The text of every row so far, again and again until all are at their end."""


@dataclass(frozen=True)
class Companion:
    """The encoder of the checkpoint that a head is made of, whose tokens it reads as they come.

    Args:
        modality: of the cells that it encodes.
        path: of the checkpoint.
        keywords: of the encoder ``pretrained``, without which its tokens are not those that the head knows.
        input: the input that the head reads so: a name, ``auto``, or ``none`` for the fused tokens.
        needed: whether the head reads nothing else.
        train: how much of the head learns where it reads so: ``frozen`` nothing, ``lora``, or ``full``.
        learns: whether a frozen one learns all the same, where a recipe asks for epochs.
    """

    modality: str
    path: str
    keywords: Mapping[str, Any]
    input: str
    needed: bool
    train: str
    learns: bool = False


@runtime_checkable
class ReadsEncoder(Protocol):
    """A head that may read an input as its encoder gives it, before projection and fusion; it says then what it reads.

    See also ``SAYINGS``: ``reads`` and ``reads_width``.
    """

    @staticmethod
    def companion(**keywords: Any) -> Companion | None:
        """From its own keywords: that encoder, where it has one."""

    @staticmethod
    def reading(input: str, **keywords: Any) -> dict[str, Any]:
        """Its keywords, reading that input, or ``none``."""


@runtime_checkable
class Rewarded(Protocol):
    """A head that in a last stage of training learns by what its own answers are worth.

    Where it does, its ``quality`` must be told by the same measure before that stage and in it.
    """

    @property
    def rewarded_from(self) -> float:
        """Share of the schedule after which that stage begins; 1 where there is none."""

    def rewarded_by(self, targets: Mapping[int, Any], train: Sequence[int]) -> None:
        """Before training: row -> its decoded target, of rows that train or validate, and which train.

        Without any, after training: they are to be forgotten.
        """

    def at(self, progress: float) -> None:
        """Before every step: how much of the schedule is over, from 0 to 1."""


@runtime_checkable
class Attends(Protocol):
    """What writes a head's texts, such as a decoder, and can say which tokens it looked at for every unit."""

    def attention(self, memory: Tokens, before_NT: Tensor) -> Tensor:
        """What came before each unit -> the share that every token of the memory got (N, T, S), 1 together or 0."""


@runtime_checkable
class Spells(Protocol):
    """What writes a head's texts in units of its own, those of a checkpoint's tokenizer."""

    @staticmethod
    def spelling(*, path: str) -> Any:
        """Its own keywords -> the units and the files that a bundle keeps: a ``heads.text.checkpoint.Spelling``."""


@runtime_checkable
class ShowsAttention(Protocol):
    """A head that writes, and can say what of its inputs it looked at for every word."""

    @property
    def attends(self) -> bool:
        """Whether it can, as it is made up."""

    def attended(self, fused: Fused, batch: Batch, **options: Any) -> list[Any]:
        """A ``heads.text.word_attention.TextAttention`` for the text of every row, written as ``predict`` writes it."""


@runtime_checkable
class Tempered(Protocol):
    """A head whose probabilities are calibrated by a temperature."""

    def set_temperature(self, temperature: float) -> None:
        """Divide scores by this before probabilities are made."""


@runtime_checkable
class Lined(Protocol):
    """A head whose numbers are brought nearer to their mean by a line."""

    def set_line(self, offset: float, slope: float) -> None:
        """Report ``offset + slope * number`` from now on."""


@runtime_checkable
class Ruled(Protocol):
    """A head that answers classes, which costs and thresholds may change."""

    def decision_rule(self, cost: Any = None, threshold: Any = None) -> Any:
        """What ``decode`` takes as its rule."""


@runtime_checkable
class Portable(Protocol):
    """A head whose answers can be made without it, and without torch, from what its graph gives; it exports."""

    def portable(self) -> dict[str, Any]:
        """As JSON, ``form``, one of ``runtime.answers.FORMS`` or ``text``, and what reading scores so needs.

        Raises:
            ValueError: as it is made up, it cannot be exported; says why.
        """


@runtime_checkable
class StepsApart(Protocol):
    """What writes a head's texts unit by unit, with all that it keeps between units as tensors, so that it exports."""

    def opened(self, memory: Tokens) -> dict[str, Tensor]:
        """What it keeps of the memory, rows first; names of ``heads.text.decode.Cache``."""

    def empty(self) -> dict[str, tuple[int, ...]]:
        """Further names -> shape of what a row keeps of units written, where there are none yet: one axis is 0."""

    def further(self, ids_N: Tensor, kept: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The last unit of every row -> logits of the next (N, V), and what changed of ``kept``."""


@runtime_checkable
class WritesAlong(Protocol):
    """What writes a head's texts along time, all units at once."""

    def log_probabilities(self, memory: Tokens) -> tuple[Tensor, Tensor]:
        """Log-probabilities of units (B, T, V), and how many of the T are real (B,)."""


# ---- objectives


@runtime_checkable
class Objective(Protocol):
    """An extra loss. ``__init__`` takes ``(inputs, width, *, keywords)``."""

    def represent(self, state: State) -> Any:
        """What it takes of a state, row by row."""

    def loss(self, judged: Any, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar, from what ``represent`` gave; it may compare the rows of a batch."""


@runtime_checkable
class StandsIn(Protocol):
    """An objective that guesses absent inputs."""

    def stand_ins(self, encoded: Mapping[str, Tokens]) -> tuple[dict[str, Tensor], Tensor]:
        """Input -> guess (B, D), and the rows (B,) that have an input to guess from."""


@runtime_checkable
class Rebalances(Protocol):
    """An objective that changes gradients before the optimizer's step."""

    def rebalance(self, parameters: Mapping[str, Sequence[nn.Parameter]]) -> None:
        """Input -> what is trained of it, with gradients."""


@runtime_checkable
class WatchesValidation(Protocol):
    """An objective that measures between two looks at validation, of which it needs rows."""

    def after_validation(self) -> None:
        """Follows each look."""


@runtime_checkable
class ReadsAgain(Protocol):
    """An objective that reads inputs once more, changed; what it found goes into its ``represent`` in place of a state.

    Where it says that it ``fuses``, the network has a fusion even without outputs.
    """

    def meet(self, encoders: Mapping[str, nn.Module]) -> None:
        """Input -> its encoder: called once, before anything is trained."""

    def read_again(self, state: State, batch: Batch, network: Any) -> Any:
        """What ``represent`` takes; the network's encoders, joins and fusion read."""


@runtime_checkable
class Masks(Protocol):
    """An objective that hides some of what inputs hold (``hides`` names them) from encoders that can be masked."""

    hides: Sequence[str]

    def guesses(self, at: int, state: State, batch: Batch, network: Any) -> Any:
        """How well what is hidden of one of ``hides``, by its number, is guessed: an ``objectives.masked.Guesses``."""


@runtime_checkable
class KnowsChance(Protocol):
    """An alignment that knows its loss where inputs do not find each other, of which the alarms are told."""

    def chance(self, judged: Any, batch: Batch) -> Tensor:
        """Scalar, from what ``represent`` gave."""


@runtime_checkable
class Bounded(Protocol):
    """An alignment that learns a number between bounds, of which the alarms are told."""

    def at_bound(self) -> str | None:
        """What to say where it lies at one, else None."""


@runtime_checkable
class Scaled(Protocol):
    """An alignment that multiplies cosines by a learned number."""

    @property
    def scale(self) -> Tensor:
        """That number."""


# ---- compressors


@runtime_checkable
class Compressor(Protocol):
    """A trained model -> a smaller one. ``__init__`` takes keywords by name, each with a default.

    Its class says ``strengths``: keywords that a search may try where a loss is allowed, weakest first.
    """

    def compress(self, bundle: Any, study: Any) -> tuple[Any, str]:
        """A ``model.bundle.Bundle`` and a ``compress.study.Study`` -> another bundle, and what was done in words.

        The bundle that is given stays as it is. What is made of its network beyond the recipe stands in ``changes``.

        Raises:
            ValueError: this model cannot be made smaller so; says what can be done instead.
        """


@runtime_checkable
class Lesson(Protocol):
    """What a student learns of its teacher. ``__init__`` takes ``(student, teacher, *, keywords)``, both widths."""

    def loss(self, student: Any, teacher: Any, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar, from what both say of the rows of a batch, each a ``compress.view.View``."""


# ---- asking

KINDS: dict[str, tuple[type, ...]] = {
    "encoder": (Encoder,),
    "fusion": (Fusion,),
    "head": (Head,),
    "objective": (Objective,),
}
"""Kind -> what a part of it must offer."""
SAYINGS: dict[str, Any] = {
    "fixed": False,  # an encoder of which nothing is ever trained
    "query": None,  # the input that a fusion asks from; the model chooses it where a recipe leaves it open
    "wants_scores": False,  # a fusion or objective that reads what each input answers alone
    "watches": False,  # an objective whose heads of single inputs leave the encoders as they are
    "wants_fusion": False,  # an objective that works on the fused representation
    "sums_losses": False,  # an objective that weighs the losses of outputs and inputs itself
    "learnt_as": None,  # the task by which members of an ensemble learn what a head answers, where it is not its own
    "aligning": False,  # an objective whose doing is a space that inputs share: comparisons of alignments try it
    "fuses": False,  # an objective that needs a fusion, whether or not there are outputs
    "metric": None,  # the metric by which an output of a head is quoted, where it is not the first of its judge
    "decoding": {},  # how a head makes an answer of what it learnt, by name, such as {"beams": 4}
    "reads": None,  # the input that a head reads as its encoder gives it, before projection and fusion
    "reads_width": None,  # of those tokens
    "packs": 0,  # tokens of a sequence in which a decoder learns the texts of several rows
    "most": 0,  # units that a decoder may write, where it was made for longer texts than those of training
    "aligns": (),  # inputs that an objective compares in the shared space
}
"""What a part may say of itself -> what holds where it does not."""

Offer = TypeVar("Offer")


def offers(part: Any, what: type[Offer]) -> TypeGuard[Offer]:
    """Whether a part, or the class of one, offers something beside what it must.

    Args:
        part: a part, its class, or a class with keywords fixed.
        what: one of the contracts above.
    """
    part = part.func if isinstance(part, partial) else part
    return all(hasattr(part, name) for name in _methods(what))


def says(part: Any, what: str) -> Any:
    """What a part, or the class of one, says of itself.

    Args:
        what: a name in ``SAYINGS``.
    """
    default = SAYINGS[what]
    return getattr(part.func if isinstance(part, partial) else part, what, default)


def check_offered(kind: str, made: Any) -> None:
    """Whether a class offers what a part of its kind must.

    Raises:
        ValueError: says what it lacks.
    """
    made = made.func if isinstance(made, partial) else made
    if not issubclass(made, nn.Module):
        raise ValueError(f"{made.__name__} is no {kind}: expected a subclass of torch.nn.Module")
    needed = [name for contract in KINDS[kind] for name in _methods(contract)]
    lacking = [name for name in needed if getattr(made, name, None) is getattr(nn.Module, name, None)]
    if lacking:
        raise ValueError(f"{made.__name__} is no {kind}: it has no {', '.join(lacking)} (see polyfuse.contracts)")


def _methods(contract: type) -> list[str]:
    """Names of the methods and properties of a contract."""
    return [n for n, v in vars(contract).items() if not n.startswith("_") and not isinstance(v, type)]
