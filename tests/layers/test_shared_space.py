"""From tokens of any length to one vector of the shared space."""

from __future__ import annotations

import pytest
import torch

from polyfuse.layers.join import Join
from polyfuse.layers.shared_space import Projection, normalize
from polyfuse.records import Tokens


def _tokens(rows: int = 6) -> Tokens:
    torch.manual_seed(0)
    return Tokens(torch.randn(rows, 3, 8), torch.ones(rows, 3, dtype=torch.bool), (3,))


def test_a_projection_normalises_or_bends_the_mean_of_tokens():
    tokens = _tokens()
    plain, bent = Projection(8, 4), Projection(8, 4, activation="gelu")
    mean_BD = tokens.x_BTD.mean(1)
    normed_BD = torch.nn.functional.layer_norm(mean_BD, (8,))
    assert torch.allclose(plain(tokens), plain.layers[-1](normed_BD), atol=1e-5)
    assert torch.allclose(bent(tokens), bent.layers[-1](torch.nn.functional.gelu(mean_BD)), atol=1e-5)


def test_features_are_dropped_before_the_model_width_in_training_alone():
    torch.manual_seed(0)
    tokens, index_BK = _tokens(), torch.arange(6)[:, None]
    join = Join(8, 5, 1, dropout=0.5)
    plain = Join(8, 5, 1)
    plain.load_state_dict(join.state_dict())
    join.eval()
    assert torch.equal(join(tokens, index_BK).x_BTD, plain(tokens, index_BK).x_BTD)
    join.train()
    drawn = torch.stack([join(tokens, index_BK).x_BTD for _ in range(4000)])
    assert not torch.allclose(drawn[0], drawn[1])
    assert torch.allclose(drawn.mean(0), plain(tokens, index_BK).x_BTD, atol=0.1)


@pytest.mark.parametrize("keyword", ["pool", "activation"])
def test_an_unknown_choice_is_named(keyword):
    with pytest.raises(ValueError, match=f"{keyword}='none of these': expected one of"):
        Projection(8, 4, **{keyword: "none of these"})


def test_unit_vectors_have_length_one_and_zero_stays():
    x_BE = torch.cat([torch.randn(3, 5), torch.zeros(1, 5)])
    assert torch.allclose(torch.linalg.vector_norm(normalize(x_BE), dim=-1), torch.tensor([1.0, 1, 1, 0]), atol=1e-6)
