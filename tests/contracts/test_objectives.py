"""What every objective must hold, run over every row of the registry; the checks are those of ``polyfuse.testing``."""

from __future__ import annotations

import pytest

from polyfuse import registry
from polyfuse.testing import objectives
from polyfuse.testing.objectives import Case

every = pytest.mark.parametrize("name", list(registry.OBJECTIVES))


@pytest.fixture
def case(name):
    # without classes each row is alone with its own cells
    return Case(registry.objective(name), {"key": "class"} if name == "supcon" else {})


@every
def test_what_it_is_called_and_takes(case):
    objectives.says_what_it_is_and_takes(case)


@every
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_empty_and_single_rows_give_finite_losses_and_gradients(case, rows):
    objectives.finite_with(case, rows)


@every
def test_rows_without_any_input_count_for_nothing(case):
    objectives.rows_without_any_input_count_for_nothing(case)


@every
def test_every_parameter_is_trained(case):
    objectives.every_parameter_is_trained(case)


@every
def test_state_survives_saving(case):
    objectives.state_survives_saving(case)
