"""Evaluate ``where`` expressions: pandas' query language, restricted to what cannot touch anything else.

pandas evaluates method calls, so ``price.to_csv('x')`` inside a query writes a file, and expressions may come from a
recipe that somebody else wrote. The expression is therefore parsed first, and only reading methods are let through.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pandas as pd

READING = {
    *("str", "contains", "startswith", "endswith", "match", "fullmatch", "len", "lower", "upper", "strip"),
    *("dt", "date", "year", "month", "day", "hour", "minute", "second", "weekday", "dayofweek"),
    *("isin", "isna", "notna", "isnull", "notnull", "between", "abs", "round"),
}


def query_mask(frame: pd.DataFrame, expression: str) -> np.ndarray:
    """True for each row that the expression keeps; a row it cannot decide (a missing cell) is not kept.

    Args:
        expression: such as ``split == 'test'`` or ``price < 5e5 and city.str.startswith('New')``; a column whose name
            has blanks goes between backticks.

    Raises:
        ValueError: not an expression of columns, a call that is not allowed, or no true-or-false answer.
    """
    aliases = {name: f"column_{i}_" for i, name in enumerate(frame.columns) if f"`{name}`" in expression}
    for name, alias in aliases.items():
        expression = expression.replace(f"`{name}`", alias)
    _check_query(expression)
    answer = _evaluate(frame.rename(columns=aliases), expression)
    if not isinstance(answer, pd.Series) or not pd.api.types.is_bool_dtype(answer.dropna().infer_objects()):
        raise ValueError("it gives no true or false per row; compare a column with something, as in split == 'test'")
    return answer.fillna(False).to_numpy(dtype=bool)


def _check_query(expression: str) -> None:
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"it cannot be parsed ({error.args[0]}); '@' and assignments are not allowed") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in READING:
            raise ValueError(f".{node.attr} is not allowed here; allowed: {', '.join(sorted(READING))}")


def _evaluate(frame: pd.DataFrame, expression: str) -> Any:
    try:
        return frame.eval(expression.strip(), engine="python")
    except pd.errors.UndefinedVariableError as error:
        name = re.findall(r"'(.*)'", str(error))
        raise ValueError(f"there is no column {name[0] if name else error!r}") from None
    except Exception as error:  # pandas raises anything from TypeError to NotImplementedError for what it cannot do
        raise ValueError(f"pandas cannot evaluate it: {error}") from None
