"""Numbers as people write them in tables."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")


def parse_number(value: Any) -> float | None:
    """A cell as a float, or None: ``7``, ``"7.5"``, ``"1,234.5"``, ``" 12 %"`` (12), ``"$3"`` (3); True is 1."""
    if not isinstance(value, (bool, int, float, np.integer, np.floating, np.bool_)):
        value = str(value).strip().strip("%$€£¥").strip()
        if _THOUSANDS.fullmatch(value):
            value = value.replace(",", "")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
