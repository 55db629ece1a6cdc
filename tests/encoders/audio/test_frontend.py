from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.encoders.audio.frontend import Frames


def fields(*lengths: int) -> dict[str, torch.Tensor]:
    return {"wave": torch.randn(len(lengths), max(lengths)), "lengths": torch.tensor(lengths)}


def everyone(rows: int) -> torch.Tensor:
    return torch.ones(rows, dtype=torch.bool)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=3), stride=st.integers(1, 5))
def test_joined_frames_hold_every_real_frame_once_in_order(lengths, stride):
    frames = Frames(rate=8000, bins=6, mask=0.0, stride=stride)
    x_UNF, mask_UN = frames(fields(*lengths), everyone(len(lengths)))
    y_UNF, real_UN = frames.joined(x_UNF, mask_UN)
    assert y_UNF.shape[1] >= 2
    for row in range(len(lengths)):
        count = int(mask_UN[row].sum())
        assert real_UN[row].sum() == -(-count // stride)
        apart = y_UNF[row].unflatten(-1, (6, stride)).transpose(1, 2).flatten(0, 1)
        assert torch.equal(apart[:count], x_UNF[row, :count])
        assert not apart[count:].any()


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=3), stride=st.integers(1, 5))
def test_spans_of_real_tokens_tile_the_sound(lengths, stride):
    frames = Frames(rate=8000, bins=6, mask=0.0, stride=stride)
    batch = fields(*lengths)
    _, real_UN = frames.joined(*frames(batch, everyone(len(lengths))))
    span_UN2 = frames.spans(batch["lengths"], real_UN.shape[1])
    for row, length in enumerate(lengths):
        span_N2 = span_UN2[row][real_UN[row]]
        assert span_N2[0, 0] == 0
        torch.testing.assert_close(span_N2[1:, 0], span_N2[:-1, 1])
        torch.testing.assert_close(span_N2[-1, 1], torch.tensor(length / 8000))
        assert (span_N2[:, 1] > span_N2[:, 0]).all()


def test_bands_are_masked_in_training_only():
    frames, batch = Frames(rate=8000, bins=6, mask=0.9, stride=1), fields(4000)
    torch.manual_seed(0)
    assert not torch.equal(frames(batch, everyone(1))[0], frames(batch, everyone(1))[0])
    frames.eval()
    assert torch.equal(frames(batch, everyone(1))[0], frames(batch, everyone(1))[0])
