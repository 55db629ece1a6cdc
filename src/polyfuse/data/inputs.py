"""Choose the columns that a model reads and group them into named inputs, one per modality.

All numbers, categories and dates together are the input ``columns``; several photo columns share the input ``image``
and so its encoder; every ready-made feature column is an input of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.data.modalities import MODALITIES, Column, encoder_modality, missing_mask
from polyfuse.data.names import partition_unquoted, split_unquoted, unquote
from polyfuse.data.rules import cell_key
from polyfuse.data.tables import Table, TableError, did_you_mean

Inputs: TypeAlias = dict[str, tuple[list[str], str]]
"""Input name -> its columns and the modality of its encoder."""

OWN = ("vector", "sequence")
ROLES = {
    "identifier": "an identifier says nothing about new rows",
    "constant": "the same in every row",
    "empty": "every cell is missing",
    "split": "it says which split a row is in",
    "address": "it holds internet addresses, which say little as words; download what they show, or name the column as "
    "an input to learn from the words of the addresses",
}


UNNAMED = "other inputs were named"


@dataclass(frozen=True)
class InputRequest:
    """The user's request for one input; None where it is inferred from the table.

    Args:
        name: None to be gathered with others of its modality.
        modality: one of ``MODALITIES``, or ``columns``.
    """

    name: str | None
    columns: tuple[str, ...]
    modality: str | None = None
    encoder: str | None = None


def parse_input(text: str) -> InputRequest:
    """Read ``COL``, ``COL=MODALITY[:ENCODER]`` or ``NAME@COL1,COL2[=MODALITY[:ENCODER]]``.

    A name that holds one of ``= @ , :`` stands between double quotes or backticks.

    Raises:
        TableError: not of this form.

    Example:
        >>> parse_input("photos@front,back=image:resnet")
        InputRequest(name='photos', columns=('front', 'back'), modality='image', encoder='resnet')
        >>> parse_input('"a=b"=text')
        InputRequest(name=None, columns=('a=b',), modality='text', encoder=None)
    """
    what, equals, kind = partition_unquoted(text, "=")
    name, at, listed = partition_unquoted(what, "@")
    columns = tuple(map(unquote, split_unquoted(listed, ",") if at else [name]))
    modality, colon, encoder = kind.partition(":")
    empty = not all(columns) or (at and not unquote(name)) or (equals and not modality) or (colon and not encoder)
    if empty:
        raise TableError(f"input {text!r}: expected COL, COL=MODALITY or NAME@COL1,COL2[=MODALITY[:ENCODER]]")
    request = InputRequest(unquote(name) if at else None, columns, modality.strip() or None, encoder.strip() or None)
    _check_modality(request)
    return request


def _check_modality(request: InputRequest) -> None:
    known = (*MODALITIES, "columns")
    if request.modality not in (None, *known):
        hint = did_you_mean(request.modality or "", known) or "."
        listed = ", ".join(known)
        raise TableError(
            f"input {', '.join(request.columns)}: unknown modality {request.modality!r}{hint} Known: {listed}. "
            "A column whose name holds = or @ goes between double quotes"
        )


def modality_overrides(requests: Iterable[InputRequest]) -> dict[str, str]:
    """Column -> modality that requests name, for ``infer_columns``; ``columns`` leaves each column's own."""
    return {
        column: request.modality
        for request in requests
        for column in request.columns
        if request.modality and request.modality != "columns"
    }


def exclusion_reasons(
    columns: Mapping[str, Column],
    *,
    outputs: Sequence[str],
    beside: Mapping[str, str] = MappingProxyType({}),
    split: str | None = None,
    group: str | None = None,
    order: str | None = None,
    weights: str | None = None,
) -> dict[str, str]:
    """Column -> why it is no input unless named, for every column that is left out.

    Args:
        beside: column -> the output whose head reads it itself.
    """
    reasons = {name: _exclusion_reason(c) for name, c in columns.items() if c.role != "input" or not _is_read(c)}
    said = [
        (split, ROLES["split"]),
        (group, "it groups the rows of a split"),
        (order, "it says which rows are later, and later rows have values that training never saw"),
        (weights, "it says how much rows count"),
        *((o, "it is an output") for o in outputs),
        *((c, f"the head of output {o!r} reads it itself") for c, o in beside.items()),
    ]
    return reasons | {name: why for name, why in said if name is not None and name in columns}


def _is_read(column: Column) -> bool:
    """Whether there is an encoder for what it holds."""
    return encoder_modality(column.modality) in registry.ENCODERS


def _exclusion_reason(column: Column) -> str:
    """Why a column is no input by itself."""
    if column.role in ("input", "unsupported"):
        return f"{column.modality} is not read yet"
    return ROLES.get(column.role, column.reason)  # of what nothing here can read, the reason says what to do


def note_unused_columns(columns: Mapping[str, Column], used: Iterable[str], reasons: Mapping[str, str]) -> list[str]:
    """Make a note per reason that names every column left out for it.

    Args:
        used: columns that something reads: inputs, outputs, split and group.
        reasons: why a column is no input; one that has none was not named where others were.
    """
    read, by_reason = set(used), dict[str, list[str]]()
    for name in columns:
        if name not in read:
            by_reason.setdefault(reasons.get(name, UNNAMED), []).append(name)
    return [
        f"{'column' if len(names) == 1 else 'columns'} {', '.join(map(repr, names))} "
        f"{'is' if len(names) == 1 else 'are'} left out: {reason}"
        for reason, names in by_reason.items()
    ]


def default_inputs(
    columns: Mapping[str, Column],
    *,
    outputs: Sequence[str],
    beside: Mapping[str, str] = MappingProxyType({}),
    **others: str | None,
) -> Inputs:
    """One input per modality of every column that is not left out.

    Args:
        beside, others: what further columns are for, as of ``exclusion_reasons``.

    Raises:
        TableError: nothing is left; the message says why, column by column.
    """
    reasons = exclusion_reasons(columns, outputs=outputs, beside=beside, **others)
    used = {name: column.modality for name, column in columns.items() if name not in reasons}
    if not used:
        listed = "\n".join(f"  {name} ({columns[name].modality}): {why}" for name, why in reasons.items())
        raise TableError(f"no column is left as an input; name some with --input if they should be one:\n{listed}")
    return _group_by_modality(used)


def _group_by_modality(modalities: Mapping[str, str]) -> Inputs:
    """Group columns by modality; feature columns stay alone, under their own name."""
    inputs: Inputs = {}
    for column, modality in modalities.items():
        if modality not in OWN:
            name = encoder_modality(modality)
            inputs.setdefault(name, ([], name))[0].append(column)
    for column, modality in modalities.items():
        if modality in OWN:
            inputs[column if column not in inputs else f"{column}_{modality}"] = ([column], modality)
    return inputs


def resolve_inputs(
    requests: Sequence[InputRequest],
    columns: Mapping[str, Column],
    *,
    outputs: Sequence[str],
    beside: Mapping[str, str] = MappingProxyType({}),
    **others: str | None,
) -> Inputs:
    """The inputs that requests describe, or the default ones when there are none.

    Args:
        beside, others: what further columns are for, as of ``exclusion_reasons``.

    Raises:
        TableError: a column that does not exist, is an output or holds weights, or has no cell; modalities that share
            no encoder; a name used twice.
    """
    if not requests:
        return default_inputs(columns, outputs=outputs, beside=beside, **others)
    if any(others.get("weights") in request.columns for request in requests):
        raise TableError(
            f"column {others['weights']!r} says how much rows count, so it cannot be an input: it tells of the sample, "
            "not of the row"
        )
    for request in requests:
        _check_request(request, columns, outputs)
    loose = {c: r.modality or columns[c].modality for r in requests if r.name is None for c in r.columns}
    pairs = list(_group_by_modality(loose).items())
    pairs += [(r.name, (list(r.columns), _shared_modality(r, columns))) for r in requests if r.name is not None]
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TableError(f"two inputs are called {', '.join(map(repr, twice))}; name each NAME@COL1,COL2")
    return dict(pairs)


def _check_request(request: InputRequest, columns: Mapping[str, Column], outputs: Sequence[str]) -> None:
    _check_modality(request)
    for name in request.columns:
        if name not in columns:
            raise TableError(f"input column {name!r} does not exist{did_you_mean(name, columns)}")
        if name in outputs:
            raise TableError(f"column {name!r} is an output, so it cannot be an input: the model would read the answer")
        if columns[name].role == "empty":
            raise TableError(f"input column {name!r}: every cell is missing")
        if columns[name].role == "unsupported":
            raise TableError(f"input column {name!r}: {_exclusion_reason(columns[name])}; leave it out")
        if columns[name].modality in ("unknown", "tags") and not request.modality:
            raise TableError(f"input column {name!r}: {columns[name].reason}; say what it is: {name}=MODALITY")


def _shared_modality(request: InputRequest, columns: Mapping[str, Column]) -> str:
    modalities = {name: encoder_modality(request.modality or columns[name].modality) for name in request.columns}
    if len(set(modalities.values())) == 1:
        return next(iter(modalities.values()))
    listed = ", ".join(f"{name} is {modality}" for name, modality in modalities.items())
    raise TableError(f"input {request.name!r}: its columns share one encoder but differ: {listed}")


def find_leaks(table: Table, inputs: Iterable[str], output: str) -> list[str]:
    """Warn about input columns that leak the output: copies, multiples, or a finer version of it."""
    target = table.require(output)
    found = [(name, _describe_leak(table.require(name), target)) for name in dict.fromkeys(inputs)]
    end = f"the output {output!r}; leave it out unless it is known before the answer is"
    return [f"column {name!r} {how} {end}" for name, how in found if how]


def _describe_leak(column: pd.Series, target: pd.Series) -> str:
    """Describe how a column leaks the target, as the verb of a sentence; empty where it does not."""
    both = ~(missing_mask(column) | missing_mask(target))
    column, target, rows = column[both], target[both], int(both.sum())
    (given, cells), (wanted, _) = map(_factorize, (column, target))
    if rows < 10 or given.max() == 0 or wanted.max() == 0:
        return ""
    if _is_proportional(column, target):
        return "is a multiple of"
    pairs = len(np.unique(np.stack([given, wanted]), axis=1).T)
    if pairs > len(cells):
        return ""
    if pairs == wanted.max() + 1 and all(map(str.__eq__, column.map(str), target.map(str))):
        return "is a copy of"
    # with few rows per value, or one answer nearly everywhere, chance does this
    chance = rows < 5 * pairs or np.bincount(wanted).max() > 0.9 * rows
    return "has values that each go with one value of" if not chance else ""


def _factorize(series: pd.Series) -> tuple[np.ndarray, Any]:
    """Number of each cell's value, and the values."""
    try:
        return pd.factorize(series)
    except TypeError:  # lists, records and arrays
        return pd.factorize(series.map(cell_key))


def _is_proportional(column: pd.Series, target: pd.Series) -> bool:
    if not (pd.api.types.is_numeric_dtype(column) and pd.api.types.is_numeric_dtype(target)):
        return False
    return target.nunique() > 2 and bool(abs(column.astype(float).corr(target.astype(float))) > 0.999_999)
