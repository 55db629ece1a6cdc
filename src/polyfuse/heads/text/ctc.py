"""Texts along time: every token says a unit or nothing, and what repeats is one. Graves et al., ICML 2006."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.data.cells.spelling import PAD
from polyfuse.heads.text.decode import Decoding, Rules, Written
from polyfuse.heads.text.learning import Learning, References
from polyfuse.heads.text.memory import joint_tokens
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.recurrent import Bidirectional
from polyfuse.records import Fused, Tokens
from polyfuse.runtime.paths import prefix_beam, written


class CTC(nn.Module):
    """Speech and other work in which the text follows its input: no unit waits for the one before it.

    A text needs more tokens than units; each token is stretched into several where it has too few. Of a grid of a
    picture the columns are read from left to right. The joint tokens reach every token as one vector.

    Args:
        vocabulary: V; id 0 is the blank.
        width: D of the fused tokens.
        dropout: in training.
        around: the input whose tokens are read; ``auto`` is the one with the most.
        stretch: units that a token may say.
        depth: two-way recurrent layers before the units are read; 0 for none.

    See also: ``transformer`` where texts do not follow the order of their input.
    """

    paper = "Graves et al., Connectionist Temporal Classification, ICML 2006"

    def __init__(
        self, vocabulary: int, width: int, dropout: float, *, around: str = "auto", stretch: int = 2, depth: int = 1
    ):
        super().__init__()
        if stretch < 1 or depth < 0:
            raise ValueError(f"stretch {stretch}, depth {depth}: expected 1 or more, and 0 or more")
        self.around, self.stretch, self.vocabulary = around, stretch, vocabulary
        self.norm, self.joint = nn.LayerNorm(width), nn.Linear(width, width)
        self.net = Bidirectional(width, -(-width // 2), depth=depth, dropout=dropout) if depth else None
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(2 * -(-width // 2) if depth else width, stretch * vocabulary)

    def check(self, how: Decoding) -> None:
        """Whether it can write so.

        Raises:
            ValueError: an option that is of no use where units do not wait for each other.
        """
        usual = Decoding()
        for name in ("sample", "no_repeat", "min_length", "length_penalty"):
            if getattr(how, name) != getattr(usual, name):
                raise ValueError(f"{name}: ctc writes by beams, max_length and answers alone; leave it out")

    def read(self, fused: Fused) -> Tokens:
        """The tokens of one input in the order of time, each knowing the joint tokens."""
        tokens = in_order(self._stream(fused))
        joint = joint_tokens(fused)
        joint_BD = self.joint(masked_mean(joint.x_BTD, joint.mask_BT))
        return Tokens(self.norm(tokens.x_BTD + joint_BD[:, None]), tokens.mask_BT)

    def _stream(self, fused: Fused) -> Tokens:
        found = fused.by_input
        if self.around != "auto" and self.around not in found:
            raise ValueError(f"ctc: there is no input {self.around!r}; known: {', '.join(found) or 'none'}")
        if not found:
            return fused.tokens
        return max(found.values(), key=lambda t: t.x_BTD.shape[1]) if self.around == "auto" else found[self.around]

    def log_probabilities(self, memory: Tokens) -> tuple[Tensor, Tensor]:
        """Log-probabilities of units (B, T, V), and how many of the T are real (B,)."""
        x_BTD = memory.x_BTD if self.net is None else self.net(memory.x_BTD, memory.mask_BT)
        logits_BTX = self.out(self.drop(x_BTD)).float()
        logits_BTV = logits_BTX.unflatten(-1, (self.stretch, self.vocabulary)).flatten(1, 2)
        return logits_BTV.log_softmax(-1), memory.mask_BT.sum(1) * self.stretch

    def loss(self, memory: Tokens, texts: References, how: Learning) -> Tensor:  # noqa: ARG002 - nothing is forced
        """Minus the log-probability of every text per unit (N,); 0 where a text does not fit into the tokens.

        Raises:
            ValueError: no text fits.
        """
        log_NTV, real_N = self.log_probabilities(memory)
        loss_N = ctc_loss(log_NTV, real_N, texts.ids_NT, texts.lengths_N)
        if self.training and bool((texts.lengths_N > 0).any()) and bool((loss_N == inf).all()):
            raise ValueError(
                f"ctc: no text of a batch fits into its tokens (texts of up to {int(texts.lengths_N.max())} units, "
                f"{int(real_N.max())} places): raise stretch of the decoder, name units that are longer, or take an "
                "encoder with more tokens"
            )
        finite_N = torch.where(loss_N == inf, 0.0, loss_N)
        return finite_N / texts.lengths_N.clamp_min(1)

    def write(self, memory: Tokens, rules: Rules, how: Decoding, rows: Sequence[int]) -> Written:  # noqa: ARG002
        """The text of every row: the likeliest of a closed list, of a beam, or that of the likeliest path."""
        log_BTV, real_B = self.log_probabilities(memory)
        if rules.answers is not None:
            return _of_answers(log_BTV, real_B, rules.answers)
        if how.beams > 1:
            found = [
                prefix_beam(log_TV[:real], how.beams, rules.most)
                for log_TV, real in zip(log_BTV.double().cpu().numpy(), real_B.tolist(), strict=True)
            ]
        else:
            found = [_greedy(log_TV[:real], rules.most) for log_TV, real in zip(log_BTV, real_B.tolist(), strict=True)]
        return Written([ids for ids, _ in found], [s for _, s in found], [max(1, len(ids)) for ids, _ in found])

    def steps(self, memory: Tokens, rules: Rules, how: Decoding, rows: Sequence[int]) -> Iterator[Written]:
        """All at once."""
        yield self.write(memory, rules, how, rows)


def ctc_loss(log_NTV: Tensor, real_N: Tensor, ids_NT: Tensor, lengths_N: Tensor) -> Tensor:
    """Minus the log-probability of every text (N,), infinite where it does not fit, with a gradient of 0 there."""
    loss_N = F.ctc_loss(
        log_NTV.transpose(0, 1), ids_NT, real_N, lengths_N, blank=PAD, reduction="none", zero_infinity=True
    )
    twice_N = ((ids_NT[:, 1:] == ids_NT[:, :-1]) & (ids_NT[:, 1:] != PAD)).sum(1)  # a blank stands between equal units
    return torch.where(real_N < lengths_N + twice_N, inf, loss_N)


def in_order(tokens: Tokens) -> Tokens:
    """Tokens along time, or along the columns of a picture; tokens outside the grid are left out."""
    x_BTD, mask_BT, grid = tokens.x_BTD[:, tokens.prefix :], tokens.mask_BT[:, tokens.prefix :], tokens.grid
    if len(grid) != 2 or grid[0] * grid[1] > x_BTD.shape[1]:
        return Tokens(x_BTD, mask_BT)
    x_BTD, mask_BT = x_BTD[:, : grid[0] * grid[1]], mask_BT[:, : grid[0] * grid[1]]
    along = 2 if tokens.span_BT2 is None else 1  # sound has times first and spans; a picture has rows first
    mask_BHW = mask_BT.unflatten(1, grid)
    weight = mask_BHW[..., None].to(x_BTD.dtype)
    mean = (x_BTD.unflatten(1, grid) * weight).sum(3 - along) / weight.sum(3 - along).clamp_min(1)
    return Tokens(mean, mask_BHW.any(3 - along))


def _greedy(log_TV: Tensor, most: int) -> tuple[list[int], float]:
    """Units of the likeliest path, and its log-probability."""
    if not len(log_TV):
        return [], 0.0
    best_T = log_TV[:, written(log_TV.shape[1])].max(-1)
    path = [written(log_TV.shape[1])[at] for at in best_T.indices.tolist()]
    ids = [unit for unit, before in zip(path, [PAD, *path], strict=False) if unit not in (PAD, before)]
    return ids[:most], float(best_T.values.sum())


def _of_answers(log_BTV: Tensor, real_B: Tensor, answers: Sequence[Sequence[int]]) -> Written:
    """The likeliest of some texts, all paths of each together."""
    lengths_A = torch.tensor([len(ids) for ids in answers], device=log_BTV.device)
    ids_AT = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in answers], batch_first=True).to(
        log_BTV.device
    )
    scores = []
    for ids_T, length in zip(ids_AT, lengths_A, strict=True):
        count = len(log_BTV)
        scores.append(-ctc_loss(log_BTV, real_B, ids_T.expand(count, -1), length.expand(count)))
    best_B = torch.stack(scores, 1).max(1)
    chosen = [list(answers[at]) for at in best_B.indices.tolist()]
    return Written(chosen, best_B.values.tolist(), [max(1, len(ids)) for ids in chosen])
