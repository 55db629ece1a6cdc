"""What every head must hold, run over every row of the registry; the checks are those of ``polyfuse.testing``."""

from __future__ import annotations

import pytest

from polyfuse import registry
from polyfuse.testing import heads
from polyfuse.testing.heads import Case

SMALL = {  # keywords of heads that take long to learn by heart as they are by default
    "image": {"base": 8, "decode": {"steps": 4}},
    "events": {"step": 0.25},
    "boxes": {"channels": 16, "depth": 1},
    "masks": {"channels": 16, "depth": 1},
    "speech": {"channels": 24, "depth": 2, "decode": {"steps": 4, "rounds": 4}},
}
every_head = pytest.mark.parametrize("name", list(registry.HEADS))


@pytest.fixture
def case(name):
    return Case(registry.head(name), SMALL.get(name))


@every_head
def test_what_it_wants_takes_its_own_keywords(case):
    heads.says_what_it_is_and_wants(case)


@every_head
def test_loss_falls_until_eight_rows_are_learnt_by_heart(case):
    heads.loss_falls_until_eight_rows_are_learnt_by_heart(case)


@every_head
def test_missing_targets_have_no_loss_and_no_gradient(case):
    heads.missing_targets_have_no_loss_and_no_gradient(case)


@every_head
def test_no_target_at_all_is_a_loss_of_zero(case):
    heads.no_target_at_all_is_a_loss_of_zero(case)


@every_head
def test_a_row_depends_on_itself_alone(case):
    heads.a_row_depends_on_itself_alone(case)


@every_head
def test_parts_of_loss_and_prediction_are_the_whole(case):
    heads.parts_of_loss_and_prediction_are_the_whole(case)


@every_head
@pytest.mark.parametrize("pool", heads.POOLS)
@pytest.mark.parametrize("prefix", [0, 1])
def test_masked_tokens_change_nothing_and_empty_rows_are_finite(case, pool, prefix):
    heads.masked_tokens_change_nothing_and_empty_rows_are_finite(case, [pool], [prefix])


@every_head
@pytest.mark.parametrize("pool", ["auto", "attention"])
def test_every_parameter_gets_a_gradient(case, pool):
    heads.every_parameter_gets_a_gradient(case, [pool])


@every_head
def test_predictions_survive_saving(case):
    heads.predictions_survive_saving(case)


@every_head
def test_predictions_have_an_entry_per_row(case):
    heads.predictions_have_an_entry_per_row(case)


@every_head
@pytest.mark.parametrize("pool", ["auto", "max", "attention"])
def test_scores_export_for_any_batch_and_length(case, pool):
    heads.scores_export_for_any_batch_and_length(case, [pool])


@every_head
def test_a_row_is_written_as_it_is_alone(case):
    heads.a_row_is_written_as_it_is_alone(case)


@pytest.mark.parametrize(
    "decoder", [name for name in registry.TEXT_DECODERS if not hasattr(registry.text_decoder(name), "spelling")]
)
def test_every_decoder_of_texts_is_a_head(decoder):
    """Those made of a checkpoint have tests of their own."""
    for check in heads.CHECKS[1:]:
        check(Case(registry.head("text"), {"decoder": decoder, "unit": "word"}))


@every_head
def test_bf16_autocast_keeps_losses_finite(case):
    heads.bf16_autocast_keeps_losses_finite(case)
