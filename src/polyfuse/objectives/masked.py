"""Masked modelling: some of what an input holds is hidden, and guessed from the rest, or from other inputs as well.

Devlin et al., BERT, NAACL 2019; He et al., Masked autoencoders are scalable vision learners, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.inputs import named_inputs
from polyfuse.layers.masking import Masking, Units
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Batch, Cells, State, Tokens

Judged: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""Input -> sum of the losses of a row's hidden units (B,), and how many they are (B,)."""


@dataclass
class Guesses:
    """What was hidden of an input, H units of all rows together, and how well it was guessed.

    Args:
        rows: of the batch, B.
        row_H: row of each.
        loss_H: squared error in units of the standardised values, or cross-entropy.
        values_HP, known_HP, ids_H, unit_H: what it is, see ``Units``; and which unit.
        alike: all units are of one kind, as the words of a text are and the columns of a table are not.
    """

    rows: int
    row_H: Tensor
    loss_H: Tensor
    values_HP: Tensor | None
    known_HP: Tensor | None
    ids_H: Tensor | None
    unit_H: Tensor
    alike: bool


class Masked(nn.Module):
    """Hidden words, patches, stretches of sound and values of columns are guessed from what is left.

    L = mean over hidden units of the cross-entropy of a subword or category, or the mean squared error of a patch
    normalised by itself, of a standardised log-mel stretch, of a standardised number; the mean over inputs. Outside of
    training the same units are hidden every time. Units count by the weights of their rows.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        hide: inputs of which something is hidden; all by default.
        share: of an input's units that are hidden, one at least; ``auto`` is .15 of subwords, .6 of patches, .4 of
            stretches of sound, .3 of columns and of steps of a sequence.
        conditioned: guess from the other inputs of the row too, through the fusion; one input is masked at a time.

    See also: ``impute``, which guesses the encoding of a whole input from the others.
    """

    paper = "Devlin et al., BERT, NAACL 2019; He et al., Masked autoencoders are scalable vision learners, CVPR 2022"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        hide: Sequence[str] | None = None,
        share: float | str = "auto",
        conditioned: bool = False,
    ):
        super().__init__()
        self.hides, self.width, self.conditioned = named_inputs(inputs, hide, "hide"), width, bool(conditioned)
        if share != "auto" and not (isinstance(share, (int, float)) and 0 < share <= 1):
            raise ValueError(f"share={share!r}: expected a share above 0 and up to 1, or auto")
        if conditioned and len(inputs) < 2:
            raise ValueError("conditioned: there is no other input to guess from; leave it out, or give another input")
        self.share = share
        self.guessers, self.fills = nn.ModuleList(), nn.ParameterList()

    @property
    def fuses(self) -> bool:
        """Whether it needs the fusion."""
        return self.conditioned

    def meet(self, encoders: Mapping[str, nn.Module]) -> None:
        """Make what guesses the units of these encoders: input -> its only encoder.

        Raises:
            ValueError: an encoder that cannot be masked.
        """
        for name in self.hides:
            masking: Masking = encoders[name].masking()  # type: ignore[operator]
            make = _Along if masking.along else _Whole
            self.guessers.append(make(self.width, masking, self.conditioned))
            self.fills.append(nn.Parameter(torch.randn(masking.fill) * 0.02, requires_grad=masking.fill > 0))

    def read_again(self, state: State, batch: Batch, network: Any) -> dict[str, Guesses]:
        """What is guessed of every input that is read again with some of what it holds hidden.

        Args:
            network: whose encoders, projections and fusion read them.
        """
        return {name: self.guesses(at, state, batch, network) for at, name in enumerate(self.hides)}

    def represent(self, guessed: Mapping[str, Guesses]) -> Judged:
        """Losses of every row, from what ``read_again`` gave."""
        found = {}
        for name, guesses in guessed.items():
            nothing_B = guesses.loss_H.new_zeros(guesses.rows)
            counts_B = nothing_B.index_add(0, guesses.row_H, torch.ones_like(guesses.loss_H))
            found[name] = nothing_B.index_add(0, guesses.row_H, guesses.loss_H), counts_B.detach()
        return found

    def guesses(self, at: int, state: State, batch: Batch, network: Any) -> Guesses:
        """What was hidden of one input, by its number in ``hides``, and how well it was guessed."""
        name, guesser = self.hides[at], self.guessers[at]
        reader = network.fused[name][0]
        cells: Cells = batch.inputs[reader]
        masking: Masking = network.encoder(reader).masking()
        units = masking.units(cells.fields)  # type: ignore[arg-type]
        hidden_UN = self._drawn(units.real_UN & cells.present_U[:, None], masking.share)
        fields = masking.hide(cells.fields, hidden_UN, self.fills[at])  # type: ignore[arg-type]
        tokens: Tokens = network.encoder(reader)(fields, cells.present_U)
        own: Tokens = network.join(reader)(tokens, cells.index_BK)
        joint_BD = None
        if self.conditioned:
            fused = network.fuse({**state.encoded, name: own}, whole=True)
            own = fused.by_input[name]
            joint_BD = masked_mean(fused.tokens.x_BTD, fused.tokens.mask_BT)
        slots = cells.index_BK.shape[1]
        own_BKTD = own.x_BTD.unflatten(1, (slots, -1))
        hidden_BKN = hidden_UN[cells.index_BK.clamp_min(0)] & (cells.index_BK >= 0)[..., None]
        row_H, slot_H, unit_H = hidden_BKN.nonzero(as_tuple=True)
        asked = _select_units(units, cells.index_BK[row_H, slot_H], unit_H)
        if masking.along:
            x_HD = own_BKTD[row_H, slot_H, unit_H + tokens.prefix]
        else:
            whole_BKD = masked_mean(own_BKTD.flatten(0, 1), own.mask_BT.unflatten(1, (slots, -1)).flatten(0, 1))
            x_HD = whole_BKD.unflatten(0, (-1, slots))[row_H, slot_H]
        joint_HD = None if joint_BD is None else joint_BD[row_H]
        return Guesses(len(batch), row_H, guesser(x_HD, joint_HD, asked, unit_H), *asked, unit_H, masking.along)

    def _drawn(self, real_UN: Tensor, usual: float) -> Tensor:
        """Which units are hidden: a share of the real ones, one at least where there is any."""
        share = usual if self.share == "auto" else float(self.share)
        draw = None if self.training else torch.Generator().manual_seed(0)
        score_UN = torch.rand(real_UN.shape, generator=draw).to(real_UN.device).masked_fill(~real_UN, 2.0)
        count_U1 = (share * real_UN.sum(1, keepdim=True)).round().clamp_min(1)
        return real_UN & (score_UN.argsort(1).argsort(1) < count_U1)

    def loss(self, judged: Judged, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the mean over inputs of the weighted mean over the hidden units of rows that have a weight."""
        del heads
        found = [
            (batch.weights_B * sums_B).sum() / ((batch.weights_B > 0) * counts_B).sum().clamp_min(1)
            for sums_B, counts_B in judged.values()
        ]
        return torch.stack(found).mean()


Asked: TypeAlias = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Values (H, P), which of them are known (H, P), and ids (H,) of hidden units; each None where there are none."""


def _select_units(units: Units, cell_H: Tensor, unit_H: Tensor) -> Asked:
    parts = (units.values_UNP, units.known_UNP, units.ids_UN)
    return tuple(None if part is None else part[cell_H, unit_H] for part in parts)  # type: ignore[return-value]


class _Guesser(nn.Module):
    """Normalised tokens, and what the fusion made of all inputs beside them, to guesses; subclasses say which."""

    def __init__(self, width: int, conditioned: bool):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.joint = nn.Linear(width, width) if conditioned else None

    def _read(self, x_HD: Tensor, joint_HD: Tensor | None) -> Tensor:
        if self.joint is not None:
            x_HD = x_HD + self.joint(joint_HD)
        return self.norm(x_HD)


class _Along(_Guesser):
    """Each unit from its own token, all units alike."""

    def __init__(self, width: int, masking: Masking, conditioned: bool):
        super().__init__(width, conditioned)
        self.out = nn.Linear(width, masking.values or masking.classes[0])

    def forward(self, x_HD: Tensor, joint_HD: Tensor | None, asked: Asked, unit_H: Tensor) -> Tensor:
        """Losses (H,)."""
        del unit_H
        said_HX, (values_HP, _, ids_H) = self.out(self._read(x_HD, joint_HD)), asked
        if values_HP is not None:
            return (said_HX.float() - values_HP.float()).square().mean(1)
        assert ids_H is not None
        return F.cross_entropy(said_HX.float(), ids_H, reduction="none")


class _Whole(_Guesser):
    """Each unit from all tokens of the cell, by a layer of its own: values of columns."""

    def __init__(self, width: int, masking: Masking, conditioned: bool):
        super().__init__(width, conditioned)
        self.values, self.classes = masking.values, list(masking.classes)
        self.numbers = nn.Linear(width, self.values * len(self.classes)) if self.values else None
        self.named = nn.ModuleList(nn.Linear(width, size) for size in self.classes if size)
        self.place = [n for n, size in enumerate(self.classes) if size]

    def forward(self, x_HD: Tensor, joint_HD: Tensor | None, asked: Asked, unit_H: Tensor) -> Tensor:
        """Losses (H,)."""
        x_HD, (values_HP, known_HP, ids_H) = self._read(x_HD, joint_HD), asked
        loss_H = x_HD.new_zeros(len(x_HD)).float()
        if self.numbers is not None and values_HP is not None and known_HP is not None:
            said_HNP = self.numbers(x_HD).float().unflatten(1, (-1, self.values))
            said_HP = said_HNP[torch.arange(len(unit_H), device=unit_H.device), unit_H]
            error_HP = (said_HP - values_HP.float()).square() * known_HP
            loss_H = error_HP.sum(1) / known_HP.sum(1).clamp_min(1)
        for layer, unit in zip(self.named, self.place, strict=True):
            at_h = (unit_H == unit).nonzero()[:, 0]
            assert ids_H is not None
            own_h = F.cross_entropy(layer(x_HD[at_h]).float(), ids_H[at_h], reduction="none")
            loss_H = loss_H.index_add(0, at_h, own_h)
        return loss_H
