"""Every compressor and every lesson of the registry, by the checks that a part of anybody's passes."""

from __future__ import annotations

import pytest

from polyfuse import registry
from polyfuse.testing import check_compressor, check_lesson

pytestmark = pytest.mark.usefixtures("own_cache")
SHORT = {name: {"epochs": 1} for name in ("distill", "prune", "magnitude")}
SHORT["low_rank"] = {"epochs": 1, "energy": 0.5}


@pytest.mark.parametrize("name", registry.COMPRESSORS)
def test_compressors(name):
    check_compressor(registry.compressor(name), SHORT.get(name))


@pytest.mark.parametrize("name", registry.LESSONS)
def test_lessons(name):
    check_lesson(registry.lesson(name))
