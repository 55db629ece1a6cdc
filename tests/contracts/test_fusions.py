"""What every fusion must hold, run over every row of the registry; the checks are those of ``polyfuse.testing``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.testing import fusions
from polyfuse.testing.fusions import Case
from tests.contracts.slow import slow_but

EXPORTED = {"concat", "bidirectional", "tensor"}
every_fusion = pytest.mark.parametrize("name", list(registry.FUSIONS))
cases = st.lists(st.integers(1, 7), min_size=1, max_size=5).flatmap(
    lambda lengths: st.tuples(
        st.just(lengths),
        st.lists(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)), min_size=1, max_size=4),
    )
)


@pytest.fixture
def case(name):
    return Case(registry.fusion(name))


@every_fusion
def test_what_it_is_called_and_takes(case):
    fusions.says_what_it_is_and_takes(case)


@every_fusion
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=cases)
def test_any_subset_of_one_to_five_inputs_gives_finite_tokens(case, drawn):
    fusions.finite_with(case, *drawn)


@pytest.mark.parametrize("lengths", [[3], [3, 2], [3, 2, 4, 2, 5]], ids=["one", "two", "five"])
@every_fusion
def test_every_parameter_is_trained(case, lengths):
    fusions.every_parameter_is_trained(case, lengths)


@every_fusion
def test_every_tensor_that_trains_is_registered(case):
    fusions.every_tensor_that_trains_is_registered(case)


@every_fusion
def test_a_row_does_not_see_its_neighbours_nor_padding(case):
    fusions.a_row_does_not_see_its_neighbours_nor_padding(case)


@every_fusion
def test_evaluation_is_deterministic_and_survives_saving(case):
    fusions.evaluation_is_deterministic_and_survives_saving(case)


@every_fusion
def test_bf16_autocast_is_finite(case):
    fusions.bf16_autocast_is_finite(case)


@pytest.mark.parametrize("name", slow_but(registry.FUSIONS, EXPORTED))
def test_exports_with_any_batch_and_length(case):
    fusions.exports_with_any_batch_and_length(case)
