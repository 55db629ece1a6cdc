"""Registry of parts by name, imported at first use, so that listing parts imports none of them.

Beside the package's own there are three ways to a part of somebody else: ``register``, an entry point of an installed
package (group ``polyfuse.parts``), and a name that is an address, ``package.module:Class``.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import inspect
import marshal
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Target = str | type
"""``package.module:Class``, or a class itself."""
Table = dict[str, Target]

TRANSFORMS: Table = {
    "text.bpe": "polyfuse.data.cells.text:BytePairs",
    "text.ngrams": "polyfuse.data.cells.text:NGrams",
    "text.tokenizer": "polyfuse.data.cells.text:SavedTokenizer",
    "text.stretches": "polyfuse.data.cells.stretches:Stretches",
    "text.plain": "polyfuse.data.cells.plain_text:PlainText",
    "text.split": "polyfuse.data.cells.word_lists:WordPlaces",
    "text.words": "polyfuse.data.cells.word_pieces:WordPieces",
    "image.pixels": "polyfuse.data.cells.image:Pixels",
    "image.size": "polyfuse.data.cells.picture_size:Size",
    "audio.wave": "polyfuse.data.cells.audio:Wave",
    "video.frames": "polyfuse.data.cells.video:Clip",
    "video.pairs": "polyfuse.data.cells.video:Pairs",
    "video.flow": "polyfuse.data.cells.video:Flow",
    "columns": "polyfuse.data.cells.columns:Columns",
    "vector": "polyfuse.data.cells.vectors:Vector",
    "sequence": "polyfuse.data.cells.vectors:Sequence",
    "target.category": "polyfuse.data.cells.targets:Category",
    "target.ordinal": "polyfuse.data.cells.targets:Ordinal",
    "target.labels": "polyfuse.data.cells.targets:Labels",
    "target.number": "polyfuse.data.cells.targets:Number",
    "target.text": "polyfuse.data.cells.target_text:Text",
    "target.image": "polyfuse.data.cells.target_image:Image",
    "target.audio": "polyfuse.data.cells.target_audio:Audio",
    "target.tags": "polyfuse.data.cells.target_tags:Tags",
    "target.events": "polyfuse.data.cells.target_events:Events",
    "target.boxes": "polyfuse.data.cells.target_boxes:Boxes",
    "target.masks": "polyfuse.data.cells.target_masks:Masks",
}

ENCODERS: dict[str, Table] = {
    "text": {
        "ngrams": "polyfuse.encoders.text.ngrams:NGrams",
        "gru": "polyfuse.encoders.text.gru:GRU",
        "transformer": "polyfuse.encoders.text.transformer:Transformer",
        "words": "polyfuse.encoders.text.words:Words",
        "universal": "polyfuse.encoders.text.universal:Universal",
        "pretrained": "polyfuse.encoders.text.pretrained:Pretrained",
    },
    "image": {
        "resnet": "polyfuse.encoders.image.resnet:ResNet",
        "pyramid": "polyfuse.encoders.image.pyramid:Pyramid",
        "statistics": "polyfuse.encoders.image.statistics:Statistics",
        "vit": "polyfuse.encoders.image.vit:ViT",
        "efficientnet_lite": "polyfuse.encoders.image.efficientnet_lite:EfficientNetLite",
        "pretrained": "polyfuse.encoders.image.pretrained:Pretrained",
    },
    "audio": {
        "spectrogram_cnn": "polyfuse.encoders.audio.spectrogram_cnn:SpectrogramCNN",
        "statistics": "polyfuse.encoders.audio.statistics:Statistics",
        "spectrogram_transformer": "polyfuse.encoders.audio.spectrogram_transformer:SpectrogramTransformer",
        "lstm": "polyfuse.encoders.audio.lstm:LSTM",
        "windows": "polyfuse.encoders.audio.windows:Windows",
        "pretrained": "polyfuse.encoders.audio.pretrained:Pretrained",
    },
    "video": {
        "frames": "polyfuse.encoders.video.frames:Frames",
        "r2plus1d": "polyfuse.encoders.video.r2plus1d:R2Plus1D",
        "transformer": "polyfuse.encoders.video.transformer:Transformer",
        "two_stream": "polyfuse.encoders.video.two_stream:TwoStream",
        "pretrained": "polyfuse.encoders.video.pretrained:Pretrained",
        "statistics": "polyfuse.encoders.video.statistics:Statistics",
    },
    "columns": {
        "mlp": "polyfuse.encoders.columns.mlp:MLP",
        "tabm": "polyfuse.encoders.columns.tabm:TabM",
        "ft_transformer": "polyfuse.encoders.columns.ft_transformer:FTTransformer",
    },
    "vector": {"vectors": "polyfuse.encoders.features.vectors:Vectors"},
    "sequence": {"sequence": "polyfuse.encoders.features.sequence:Sequence"},
}

FUSIONS: Table = {
    "concat": "polyfuse.fusion.concat:Concat",
    "sum": "polyfuse.fusion.sum:Sum",
    "late": "polyfuse.fusion.late:Late",
    "hierarchical": "polyfuse.fusion.hierarchical:Hierarchical",
    "hybrid": "polyfuse.fusion.hybrid:Hybrid",
    "gated": "polyfuse.fusion.gated:Gated",
    "film": "polyfuse.fusion.film:FiLM",
    "nl_gate": "polyfuse.fusion.nl_gate:NLGate",
    "multiplicative": "polyfuse.fusion.multiplicative:Multiplicative",
    "tensor": "polyfuse.fusion.tensor:TensorProduct",
    "low_rank_tensor": "polyfuse.fusion.low_rank_tensor:LowRankTensor",
    "tucker": "polyfuse.fusion.tucker:Tucker",
    "mfb": "polyfuse.fusion.mfb:MFB",
    "embrace": "polyfuse.fusion.embrace:Embrace",
    "deepset": "polyfuse.fusion.deepset:DeepSet",
    "attention": "polyfuse.fusion.attention:JointAttention",
    "attention_gated": "polyfuse.fusion.attention_gated:GatedAttention",
    "co_attention": "polyfuse.fusion.co_attention:CoAttention",
    "bidirectional": "polyfuse.fusion.bidirectional:Bidirectional",
    "crossmodal_transformer": "polyfuse.fusion.crossmodal_transformer:CrossmodalTransformer",
    "bottleneck": "polyfuse.fusion.bottleneck:Bottleneck",
    "perceiver": "polyfuse.fusion.perceiver:Perceiver",
    "experts": "polyfuse.fusion.experts:Experts",
    "decision": "polyfuse.fusion.decision:Decision",
}

FUSION_ALIASES: dict[str, tuple[str, dict[str, Any]]] = {  # a second name: a fusion with some keywords fixed
    "mean": ("late", {"combine": "mean"}),
    "attention_shared": ("attention", {}),
}

HEADS: Table = {
    "category": "polyfuse.heads.category:Category",
    "ordinal": "polyfuse.heads.ordinal:Ordinal",
    "labels": "polyfuse.heads.labels:Labels",
    "number": "polyfuse.heads.number:Number",
    "text": "polyfuse.heads.text.head:Text",
    "image": "polyfuse.heads.image.head:Image",
    "speech": "polyfuse.heads.speech.head:Speech",
    "tags": "polyfuse.heads.tags:Tags",
    "events": "polyfuse.heads.events:Events",
    "boxes": "polyfuse.heads.boxes:Boxes",
    "masks": "polyfuse.heads.masks:Masks",
}

TEXT_DECODERS: Table = {  # what the head ``text`` writes with
    "transformer": "polyfuse.heads.text.transformer:Transformer",
    "gru": "polyfuse.heads.text.gru:GRU",
    "ctc": "polyfuse.heads.text.ctc:CTC",
    "lm": "polyfuse.heads.text.lm:LM",
    "pretrained": "polyfuse.heads.text.pretrained:Pretrained",
}

OBJECTIVES: Table = {
    "unimodal": "polyfuse.objectives.unimodal:Unimodal",
    "distill": "polyfuse.objectives.distill:MutualDistillation",
    "impute": "polyfuse.objectives.impute:Impute",
    "ogm_ge": "polyfuse.objectives.ogm_ge:OGMGE",
    "gradient_blending": "polyfuse.objectives.gradient_blending:GradientBlending",
    "mixup": "polyfuse.objectives.mixup:Mixup",
    "clip": "polyfuse.objectives.clip:Clip",
    "siglip": "polyfuse.objectives.siglip:SigLip",
    "supcon": "polyfuse.objectives.supcon:SupCon",
    "triplet": "polyfuse.objectives.triplet:Triplet",
    "vicreg": "polyfuse.objectives.vicreg:VICReg",
    "barlow": "polyfuse.objectives.barlow:BarlowTwins",
    "masked": "polyfuse.objectives.masked:Masked",
}

LEARNERS: Table = {  # classical ones, fitted on features beside the network
    "linear": "polyfuse.learners.linear:Linear",
    "svm": "polyfuse.learners.svm:SVM",
    "forest": "polyfuse.learners.forest:Forest",
    "boosting": "polyfuse.learners.boosting:Boosting",
}

COMPRESSORS: Table = {  # a trained model -> a smaller one
    "distill": "polyfuse.compress.distill:Distill",
    "prune": "polyfuse.compress.prune:Prune",
    "magnitude": "polyfuse.compress.magnitude:Magnitude",
    "low_rank": "polyfuse.compress.low_rank:LowRank",
    "quantize": "polyfuse.compress.quantize:Quantize",
}

LESSONS: Table = {  # what a student learns of its teacher
    "logits": "polyfuse.compress.lessons.logits:Logits",
    "features": "polyfuse.compress.lessons.features:Features",
    "attention": "polyfuse.compress.lessons.attention:Attention",
    "relational": "polyfuse.compress.lessons.relational:Relational",
    "contrastive": "polyfuse.compress.lessons.contrastive:Contrastive",
}

CHANGES: Table = {  # what a compressed model's network is made of the one that its recipe describes by
    "shapes": "polyfuse.layers.reshaped:change",
    "low_rank": "polyfuse.layers.low_rank:change",
    "compact": "polyfuse.layers.compact:change",
}

EXPLAINERS: Table = {  # why a model says what it says of a row
    "contribution": "polyfuse.explain.inputs:InputShapley",
    "occlusion": "polyfuse.explain.occlusion:Occlusion",
    "integrated_gradients": "polyfuse.explain.integrated_gradients:IntegratedGradients",
    "attention": "polyfuse.explain.attention:AttentionRollout",
}

MEASURES: Table = {  # by the head's ``task``, or ``retrieval`` of aligned inputs: metrics as functions of row weights
    "category": "polyfuse.evaluation.judges.category:measure",
    "ordinal": "polyfuse.evaluation.judges.ordinal:measure",
    "labels": "polyfuse.evaluation.judges.labels:measure",
    "number": "polyfuse.evaluation.judges.number:measure",
    "retrieval": "polyfuse.evaluation.judges.retrieval:measure",
    "text": "polyfuse.evaluation.judges.text:measure",
    "image": "polyfuse.evaluation.judges.image:measure",
    "speech": "polyfuse.evaluation.judges.speech:measure",
    "tags": "polyfuse.evaluation.judges.tags:measure",
    "events": "polyfuse.evaluation.judges.events:measure",
    "boxes": "polyfuse.evaluation.judges.boxes:measure",
    "masks": "polyfuse.evaluation.judges.masks:measure",
}

JUDGES: Table = {  # by the head's ``task``
    "category": "polyfuse.evaluation.judges.category:judge",
    "ordinal": "polyfuse.evaluation.judges.ordinal:judge",
    "labels": "polyfuse.evaluation.judges.labels:judge",
    "number": "polyfuse.evaluation.judges.number:judge",
    "retrieval": "polyfuse.evaluation.judges.retrieval:judge",
    "text": "polyfuse.evaluation.judges.text:judge",
    "image": "polyfuse.evaluation.judges.image:judge",
    "speech": "polyfuse.evaluation.judges.speech:judge",
    "tags": "polyfuse.evaluation.judges.tags:judge",
    "events": "polyfuse.evaluation.judges.events:judge",
    "boxes": "polyfuse.evaluation.judges.boxes:judge",
    "masks": "polyfuse.evaluation.judges.masks:judge",
}

HEADLINES: Table = {  # by the head's ``task``, for judges that choose by the references which metrics to quote
    "text": "polyfuse.evaluation.judges.text:headline",
    "tags": "polyfuse.evaluation.judges.tags:headline",
}

RENDERERS: dict[str, dict[str, str]] = {  # by the class of a record of findings: what draws it where
    "Report": {"terminal": "polyfuse.evaluation.terminal:render", "page": "polyfuse.evaluation.html:page"},
    "RobustnessReport": {
        "terminal": "polyfuse.evaluation.terminal:render_robustness",
        "page": "polyfuse.evaluation.robustness_page:page",
    },
    "Summary": {"terminal": "polyfuse.evaluation.terminal:render_summary"},
    "Compression": {"terminal": "polyfuse.compress.terminal:render"},
    "Explanations": {"terminal": "polyfuse.explain.terminal:render", "page": "polyfuse.explain.page:page"},
    "Comparison": {"terminal": "polyfuse.comparison.terminal:render", "page": "polyfuse.comparison.page:page"},
}

EXPORTERS: dict[str, str] = {  # format -> what writes it
    "onnx": "polyfuse.export.onnx:to_onnx",
}

KINDS = {  # what ``register`` takes; encoders go into the table of their modality
    "transform": TRANSFORMS,
    "fusion": FUSIONS,
    "head": HEADS,
    "objective": OBJECTIVES,
    "learner": LEARNERS,
    "compressor": COMPRESSORS,
    "lesson": LESSONS,
    "explainer": EXPLAINERS,
}
GROUP = "polyfuse.parts"
_added: set[tuple[str, str]] = set()  # kind and name of what is not the package's own


def register(kind: str, name: str, target: Target) -> None:
    """Give a part of your own a name that recipes, Python and the command line of this process know.

    A saved model keeps the name alone: whoever loads it registers the part first. A part that a package registers by an
    entry point, or that is named ``package.module:Class``, needs no registration.

    Args:
        kind: ``encoder``, ``fusion``, ``head``, ``objective``, ``learner``, ``compressor``, ``lesson``,
            ``explainer`` or ``transform``.
        name: what it is called; of an encoder ``MODALITY:NAME``, such as ``image:mine``.
        target: the class, or ``package.module:Class``, imported when it is first used.

    Raises:
        ValueError: no such kind or modality, a name of the package's own, or no such target.

    Example:
        >>> pf.register("encoder", "image:mine", MyEncoder)
        >>> pf.fit("table.csv", outputs=["label"], inputs=["pictures@photo=image:mine"])
    """
    table, short = _locate(kind, name)
    if isinstance(target, str):
        module, colon, attribute = target.partition(":")
        if not (colon and module and attribute.isidentifier()):
            raise ValueError(f"register {kind} {name!r}: expected a class or package.module:Class, found {target!r}")
    elif not isinstance(target, type):
        raise ValueError(f"register {kind} {name!r}: expected a class or package.module:Class, found {target!r}")
    if (kind, name) not in _added and (short in table or (kind == "fusion" and short in FUSION_ALIASES)):
        raise ValueError(f"register {kind} {name!r}: the package has one of that name; choose another")
    table[short] = target
    _added.add((kind, name))


def _locate(kind: str, name: str) -> tuple[Table, str]:
    """The table of a kind, and the name in it."""
    modality, colon, short = name.partition(":")
    if kind != "encoder":
        table = choose(KINDS, kind, "kind of part")
        if not name or colon:
            raise ValueError(f"register {kind} {name!r}: expected a name without a colon")
        return table, name
    if not short or ":" in short:
        raise ValueError(f"register encoder {name!r}: expected MODALITY:NAME, such as image:mine")
    return choose(ENCODERS, modality, "modality"), short


@cache
def _discover() -> None:
    """Register what installed packages bring: entry points such as ``encoder.image.mine = "package.module:Class"``."""
    for point in entry_points(group=GROUP):
        kind, _, name = point.name.partition(".")
        try:
            register(kind, name.replace(".", ":", 1) if kind == "encoder" else name, point.value)
        except ValueError as error:
            warnings.warn(f"entry point {point.name} = {point.value} of {GROUP} is left out: {error}", stacklevel=2)


def table_of(kind: str) -> Table:
    """Name -> target of every part of a kind but encoders, those of installed packages among them."""
    _discover()
    return KINDS[kind]


def is_address(name: str) -> bool:
    """Whether a part is named by where its code lies, ``package.module:Class``, and not by a name of the tables."""
    return ":" in name


def choose(table: dict[str, Any], name: str, kind: str) -> Any:
    """The row ``name`` of a table.

    Raises:
        ValueError: no such row; the message suggests the nearest name.
    """
    if name in table:
        return table[name]
    near = difflib.get_close_matches(str(name), table, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(sorted(table)) or 'none'}.")


def resolve(target: Target) -> Any:
    """The object that ``package.module:Name`` points at; a class is itself."""
    if isinstance(target, type):
        return target
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _part(table: Table, name: str, kind: str) -> Any:
    """A part by its name in a table, or by its address.

    Raises:
        ValueError: there is none of that name, or it cannot be imported.
    """
    if is_address(name):
        return _import_foreign(name, kind)
    if name not in table:
        _discover()
    try:
        target = choose(table, name, kind)
    except ValueError as error:
        raise ValueError(f"{error} One of your own is named package.module:Class, or registered first") from None
    return resolve(target) if str(target).startswith("polyfuse.") else _import_foreign(target, kind)


def _import_foreign(target: Target, kind: str) -> Any:
    """A class of somebody else.

    Raises:
        ValueError: its module cannot be imported, or holds no such class.
    """
    if isinstance(target, type):
        return target
    module, _, name = target.partition(":")
    _find_beside(module)
    try:
        made = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module does when it is imported
        raise ValueError(
            f"{kind} {target!r} cannot be imported: {type(error).__name__}: {error}; expected package.module:Class of "
            "code that is installed, or lies in the working directory or on PYTHONPATH"
        ) from error
    if not isinstance(made, type):
        raise ValueError(f"{kind} {target!r}: expected a class, found {type(made).__name__}")
    return made


def _find_beside(module: str) -> None:
    """Let Python look in the working directory too, last, where nothing else has that module; a script would not."""
    top, here = module.partition(".")[0], os.getcwd()
    if top not in sys.modules and here not in sys.path and find_spec(top) is None:
        sys.path.append(here)


def own_source(made: type) -> bytes:
    """Names the source of a class that does not come with the package: what was kept of an older one is of no use.

    Empty for the package's own classes, whose version says it.
    """
    module = sys.modules.get(made.__module__)
    if made.__module__.partition(".")[0] == "polyfuse":
        return b""
    try:
        return hashlib.blake2b(inspect.getsource(module or made).encode(), digest_size=16).digest()
    except (OSError, TypeError):  # typed at a prompt
        codes = [marshal.dumps(f.__code__) for f in vars(made).values() if inspect.isfunction(f)]
        return hashlib.blake2b(b"".join(codes), digest_size=16).digest()


def transform(name: str) -> type:
    """The transform class of that name."""
    return _part(TRANSFORMS, name, "transform")


def encoder(modality: str, name: str) -> type:
    """The encoder class of that name for a modality."""
    return _part(choose(ENCODERS, modality, "modality"), name, f"{modality} encoder")


def fusion(name: str) -> Callable[..., Any]:
    """The fusion class of that name; for an alias, the class with the alias's keywords fixed."""
    if name in FUSION_ALIASES:
        target, fixed = FUSION_ALIASES[name]
        made = resolve(FUSIONS[target])
        return partial(made, **fixed) if fixed else made
    if name not in FUSIONS and not is_address(name):
        choose({**table_of("fusion"), **FUSION_ALIASES}, name, "fusion")  # whose message names aliases too
    return _part(FUSIONS, name, "fusion")


def head(name: str) -> type:
    """The head class of that name."""
    return _part(HEADS, name, "head")


def text_decoder(name: str) -> type:
    """The class of that name that the head ``text`` writes with."""
    return _part(TEXT_DECODERS, name, "decoder")


def objective(name: str) -> type:
    """The objective class of that name."""
    return _part(OBJECTIVES, name, "objective")


def learner(name: str) -> Any:
    """The learner class of that name."""
    return _part(LEARNERS, name, "learner")


def compressor(name: str) -> Any:
    """The compressor class of that name."""
    return _part(COMPRESSORS, name, "method")


def lesson(name: str) -> Any:
    """The lesson class of that name."""
    return _part(LESSONS, name, "lesson")


def explainer(name: str) -> Any:
    """The explainer class of that name."""
    return _part(EXPLAINERS, name, "explainer")


@dataclass(frozen=True)
class Listing:
    """One row of ``polyfuse list``: read from the part's source, without importing it."""

    kind: str
    name: str
    summary: str
    paper: str


def listings(kind: str) -> list[Listing]:
    """Every part of a kind in the plural, ``encoders`` say, as it is listed."""
    _discover()
    flat = {f"{m}:{n}": t for m, table in ENCODERS.items() for n, t in table.items()}
    tables = {"encoders": flat, "fusions": FUSIONS, "heads": HEADS, "objectives": OBJECTIVES, "learners": LEARNERS}
    tables |= {"compressors": COMPRESSORS, "lessons": LESSONS, "explainers": EXPLAINERS}
    found = [_make_listing(kind, name, target) for name, target in choose(tables, kind, "kind of part").items()]
    return found + (_aliases(found) if kind == "fusions" else [])


def _aliases(fusions: list[Listing]) -> list[Listing]:
    """A row per alias, which says what it stands for."""
    known = {row.name: row for row in fusions}
    rows = []
    for name, (target, fixed) in FUSION_ALIASES.items():
        settings = "".join(f", {key}: {value}" for key, value in fixed.items())
        rows.append(replace(known[target], name=name, summary=f"Another name of {target}{settings}."))
    return rows


def _make_listing(kind: str, name: str, target: Target) -> Listing:
    if isinstance(target, type):
        return Listing(kind, name, (target.__doc__ or "").strip().partition("\n")[0], str(getattr(target, "paper", "")))
    try:
        node = _class_of(target)
    except (ImportError, OSError, StopIteration, SyntaxError) as error:
        if target.startswith("polyfuse."):
            raise
        return Listing(kind, name, f"{target} cannot be read: {error or 'there is no such class'}", "")
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    paper = next((_literal(s) for s in node.body if _assigns(s, "paper")), "")
    return Listing(kind, name, summary, paper)


def _class_of(target: str) -> ast.ClassDef:
    """The definition of a class, from its source alone."""
    module, class_name = target.split(":")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"there is no module {module}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf8"))
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name)


def _assigns(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Assign) and [getattr(t, "id", "") for t in statement.targets] == [name]


def _literal(statement: ast.stmt) -> str:
    assert isinstance(statement, ast.Assign)
    return str(ast.literal_eval(statement.value))
