"""Windows over long texts: every token is read, once, with what is around it, whatever stands beside the text."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.layers.windows import in_windows


def reads_itself(ids_WS, mask_WS):
    """Each token and the sum of its window."""
    shown = ids_WS * mask_WS
    return torch.stack([shown, shown.sum(1, keepdim=True).expand_as(shown)], -1).float()


def padded(lengths, wide, around):
    ids = torch.zeros(len(lengths), wide, dtype=torch.long)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.arange(1, length + 1)
        row[: around[0]] = 1000
        row[length - around[1] : length] = 2000
    lengths = torch.tensor(lengths)
    return ids, torch.arange(wide) < lengths[:, None], lengths


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(3, 90), min_size=1, max_size=4), st.integers(8, 20), st.sampled_from([(0, 0), (1, 1), (1, 0)])
)
def test_every_token_is_read_as_itself_alone_or_beside_others(lengths, size, around):
    ids, mask, long = padded(lengths, max(lengths) + 3, around)
    found = in_windows(reads_itself, ids, mask, long, size, around)
    assert torch.equal(found[..., 0][mask].long(), ids[mask])
    for row, length in enumerate(lengths):
        alone = in_windows(
            reads_itself, *(side[row : row + 1, :length] for side in (ids, mask)), long[row : row + 1], size, around
        )
        assert torch.equal(alone[0], found[row, :length])


def test_a_token_is_read_with_some_of_the_text_on_both_sides():
    seen = {}

    def read(ids, mask):
        for row in ids.tolist():
            for at, token in enumerate(row):
                seen.setdefault(token, []).append(min(at, len(row) - 1 - at))
        return torch.stack([ids, torch.arange(ids.shape[1]).expand_as(ids)], -1).float()

    ids, mask, lengths = padded([100], 100, (0, 0))
    found = in_windows(read, ids, mask, lengths, 16)[0]
    kept = torch.minimum(found[:, 1], 15 - found[:, 1])
    assert kept[4:-8].min() >= 2  # half of what windows share, inside the text
    assert [len(seen[token]) for token in (1, 14, 50)] == [1, 2, 2]


def test_a_window_without_room_is_refused():
    ids, mask, lengths = padded([9], 9, (1, 1))
    with pytest.raises(ValueError, match="no room for text"):
        in_windows(reads_itself, ids, mask, lengths, 4, (1, 1))
