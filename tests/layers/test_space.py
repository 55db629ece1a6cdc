"""From tokens of any length to one vector of the shared space."""

from __future__ import annotations

import pytest
import torch

from polyfuse.layers.space import Projection, unit
from polyfuse.records import Tokens


def _tokens(rows: int = 6) -> Tokens:
    torch.manual_seed(0)
    return Tokens(torch.randn(rows, 3, 8), torch.ones(rows, 3, dtype=torch.bool), (3,))


def test_without_activation_a_projection_is_linear_behind_its_norm():
    tokens = _tokens()
    plain, bent = Projection(8, 4), Projection(8, 4, activation="gelu")
    bent.load_state_dict({key.replace("2.", "3."): value for key, value in plain.state_dict().items()})
    normed = torch.nn.functional.layer_norm(tokens.x_BTD.mean(1), (8,))
    last = plain.layers[-1]
    assert torch.allclose(plain(tokens), last(normed), atol=1e-5)
    assert torch.allclose(bent(tokens), last(torch.nn.functional.gelu(normed)), atol=1e-5)


@pytest.mark.parametrize("keyword", ["pool", "activation"])
def test_an_unknown_choice_is_named(keyword):
    with pytest.raises(ValueError, match=f"{keyword}='none of these': expected one of"):
        Projection(8, 4, **{keyword: "none of these"})


def test_unit_vectors_have_length_one_and_zero_stays():
    x_BE = torch.cat([torch.randn(3, 5), torch.zeros(1, 5)])
    assert torch.allclose(torch.linalg.vector_norm(unit(x_BE), dim=-1), torch.tensor([1.0, 1, 1, 0]), atol=1e-6)
