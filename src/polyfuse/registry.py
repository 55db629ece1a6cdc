"""Name -> part: one visible line per part, resolved when first used, so that listing parts imports none of them."""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Table = dict[str, str]

TRANSFORMS: Table = {
    "text.bpe": "polyfuse.data.cells.text:BytePairs",
    "text.ngrams": "polyfuse.data.cells.text:NGrams",
    "text.tokenizer": "polyfuse.data.cells.text:SavedTokenizer",
    "text.stretches": "polyfuse.data.cells.stretches:Stretches",
    "image.pixels": "polyfuse.data.cells.image:Pixels",
    "audio.wave": "polyfuse.data.cells.audio:Wave",
    "columns": "polyfuse.data.cells.columns:Columns",
    "vector": "polyfuse.data.cells.vectors:Vector",
    "sequence": "polyfuse.data.cells.vectors:Sequence",
    "target.category": "polyfuse.data.cells.targets:Category",
    "target.ordinal": "polyfuse.data.cells.targets:Ordinal",
    "target.labels": "polyfuse.data.cells.targets:Labels",
    "target.number": "polyfuse.data.cells.targets:Number",
}

ENCODERS: dict[str, Table] = {
    "text": {
        "ngrams": "polyfuse.encoders.text.ngrams:NGrams",
        "gru": "polyfuse.encoders.text.gru:GRU",
        "transformer": "polyfuse.encoders.text.transformer:Transformer",
        "universal": "polyfuse.encoders.text.universal:Universal",
        "pretrained": "polyfuse.encoders.text.pretrained:Pretrained",
    },
    "image": {
        "resnet": "polyfuse.encoders.image.resnet:ResNet",
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
        "pretrained": "polyfuse.encoders.audio.pretrained:Pretrained",
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
}

LEARNERS: Table = {  # classical ones, fitted on features beside the network
    "linear": "polyfuse.learners.linear:Linear",
    "svm": "polyfuse.learners.svm:SVM",
    "forest": "polyfuse.learners.forest:Forest",
    "boosting": "polyfuse.learners.boosting:Boosting",
}

MEASURES: Table = {  # by the head's ``task``: its metrics as functions of row weights
    "category": "polyfuse.evaluation.judges.category:measure",
    "ordinal": "polyfuse.evaluation.judges.ordinal:measure",
    "labels": "polyfuse.evaluation.judges.labels:measure",
    "number": "polyfuse.evaluation.judges.number:measure",
}

JUDGES: Table = {  # by the head's ``task``
    "category": "polyfuse.evaluation.judges.category:judge",
    "ordinal": "polyfuse.evaluation.judges.ordinal:judge",
    "labels": "polyfuse.evaluation.judges.labels:judge",
    "number": "polyfuse.evaluation.judges.number:judge",
}


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


def resolve(target: str) -> Any:
    """The object that ``package.module:Name`` points at."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def transform(name: str) -> type:
    """The transform class of that name."""
    return resolve(choose(TRANSFORMS, name, "transform"))


def encoder(modality: str, name: str) -> type:
    """The encoder class of that name for a modality."""
    return resolve(choose(choose(ENCODERS, modality, "modality"), name, f"{modality} encoder"))


def fusion(name: str) -> Callable[..., Any]:
    """The fusion class of that name; for an alias, the class with the alias's keywords fixed."""
    target, fixed = choose({**{n: (n, {}) for n in FUSIONS}, **FUSION_ALIASES}, name, "fusion")
    made = resolve(FUSIONS[target])
    return partial(made, **fixed) if fixed else made


def head(name: str) -> type:
    """The head class of that name."""
    return resolve(choose(HEADS, name, "head"))


def objective(name: str) -> type:
    """The objective class of that name."""
    return resolve(choose(OBJECTIVES, name, "objective"))


def learner(name: str) -> Any:
    """The learner class of that name."""
    return resolve(choose(LEARNERS, name, "learner"))


@dataclass(frozen=True)
class Listing:
    """One row of ``polyfuse list``: read from the part's source, without importing it."""

    kind: str
    name: str
    summary: str
    paper: str


def listings(kind: str) -> list[Listing]:
    """Every part of ``encoders``, ``fusions``, ``heads``, ``objectives`` or ``learners``, as it is listed."""
    flat = {f"{m}:{n}": t for m, table in ENCODERS.items() for n, t in table.items()}
    tables = {"encoders": flat, "fusions": FUSIONS, "heads": HEADS, "objectives": OBJECTIVES, "learners": LEARNERS}
    found = [_listing(kind, name, target) for name, target in choose(tables, kind, "kind of part").items()]
    return found + (_aliases(found) if kind == "fusions" else [])


def _aliases(fusions: list[Listing]) -> list[Listing]:
    """A row per alias, which says what it stands for."""
    known = {row.name: row for row in fusions}
    rows = []
    for name, (target, fixed) in FUSION_ALIASES.items():
        settings = "".join(f", {key}: {value}" for key, value in fixed.items())
        rows.append(replace(known[target], name=name, summary=f"Another name of {target}{settings}."))
    return rows


def _listing(kind: str, name: str, target: str) -> Listing:
    module, class_name = target.split(":")
    spec = find_spec(module)
    assert spec, target
    assert spec.origin, target
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf8"))
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name)
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    paper = next((_literal(s) for s in node.body if _assigns(s, "paper")), "")
    return Listing(kind, name, summary, paper)


def _assigns(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Assign) and [getattr(t, "id", "") for t in statement.targets] == [name]


def _literal(statement: ast.stmt) -> str:
    assert isinstance(statement, ast.Assign)
    return str(ast.literal_eval(statement.value))
