"""Rectified flow: data are made of noise along straight lines, for heads that make pictures and sounds.

Lipman et al., Flow Matching for Generative Modeling, ICLR 2023; Liu et al., Flow Straight and Fast, ICLR 2023. A
network is given ``x_t = (1 - t) noise + t data`` and guesses the data, from which the velocity follows, which is
``(data - x_t) / (1 - t)``; the loss is that of the velocity. Classifier-free guidance: Ho and Salimans, 2021; the
unconditional answer is that of a row without any input.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.heads.text.memory import Memory
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens

TIME_MEAN, TIME_DEVIATION = -0.8, 0.8  # of the logit of t in training: more of it where all is still noise
NEAREST = 0.05  # 1 - t below which the loss weighs no more
GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it fill an interval evenly
FORGOTTEN = 0.1  # share of rows that are learnt as if they had no inputs
JUDGED = 1_000_003  # seed of the noise by which validation rows are judged

Denoise = Callable[[Tensor, Tensor, "Conditions"], Tensor]
"""``x_t`` (B, ...), t (B,) and conditions -> a guess of the data (B, ...)."""


@dataclass(frozen=True)
class Sampling:
    """Options of sampling from noise.

    Args:
        steps: of the way from noise to data; more are finer, and take longer.
        guidance: how far the answer is pushed from that of a row without inputs: 1 is as it was learnt, more follows
            the inputs more closely and varies less.
        seed: of the noise; a row's noise depends on it and on the row's number.
        temperature: deviation of the noise: below 1 answers are more alike.

    Raises:
        ValueError: an option out of bounds.
    """

    steps: int = 16
    guidance: float = 1.5
    seed: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: expected a whole number from {least} on, found {value!r}")
        self._bounded("guidance", 0, 20)
        self._bounded("temperature", 0, 2)

    def _bounded(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise ValueError(f"{name}: expected a number from {least:g} to {most:g}, found {value!r}")

    def changed(self, options: Mapping[str, Any]) -> Self:
        """The same with some options changed.

        Raises:
            ValueError: no such option, or out of bounds.
        """
        known = [f.name for f in fields(self)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                raise ValueError(f"no option {name!r}{hint} Known: {', '.join(known)}")
        return replace(self, **options)

    def said(self) -> dict[str, Any]:
        """Steps, guidance and seed, and whatever is not as usual, for a report."""
        usual = type(self)()
        always = ("steps", "guidance", "seed")
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name in always or getattr(self, f.name) != getattr(usual, f.name)
        }


@dataclass(frozen=True)
class Conditions:
    """The conditions of sampling.

    Shapes: ``memory`` (B, S, D), every token there is to read; ``mean_BD``, of the real ones.
    """

    memory: Tokens
    mean_BD: Tensor

    def hidden(self, keep_B: Tensor) -> Conditions:
        """As if the other rows had no inputs."""
        mask_BS = self.memory.mask_BT & keep_B[:, None]
        return Conditions(Tokens(self.memory.x_BTD, mask_BS), self.mean_BD * keep_B[:, None])

    def twice(self) -> Conditions:
        """Every row as it is, then every row without inputs."""
        keep_B = torch.ones(len(self.mean_BD), dtype=torch.bool, device=self.mean_BD.device)
        none = self.hidden(~keep_B)
        memory, other = self.memory, none.memory
        both = Tokens(torch.cat([memory.x_BTD, other.x_BTD]), torch.cat([memory.mask_BT, other.mask_BT]))
        return Conditions(both, torch.cat([self.mean_BD, none.mean_BD]))


class ConditionReader(nn.Module):
    """Fused -> Conditions: the tokens of the fusion and of every input, and their mean.

    Args:
        width: D.
    """

    def __init__(self, width: int):
        super().__init__()
        self.memory = Memory(width)

    def forward(self, fused: Fused) -> Conditions:
        """Everything there is to read of a row."""
        memory = self.memory(fused)
        return Conditions(memory, masked_mean(memory.x_BTD, memory.mask_BT))


class Time(nn.Module):
    """How far along the line, and from what: (B,), (B, D) -> (B, E), which scales and shifts channels.

    Args:
        width: D.
        out: E.
    """

    def __init__(self, width: int, out: int):
        super().__init__()
        self.out = out
        self.time = nn.Sequential(nn.Linear(out, out), nn.SiLU(), nn.Linear(out, out))
        self.given = nn.Linear(width, out)

    def forward(self, t_B: Tensor, mean_BD: Tensor) -> Tensor:
        count = self.out // 2
        rates_E = torch.exp(torch.arange(count, device=t_B.device) * (-math.log(1000.0) / max(1, count - 1)))
        angles_BE = 100 * t_B[:, None] * rates_E
        code_BE = torch.cat([angles_BE.sin(), angles_BE.cos()], -1)
        return self.time(code_BE.to(mean_BD.dtype)) + self.given(mean_BD)


def draw_noise(rows: Iterable[int], seed: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal noise, that of each row by the seed and its own number: (B, *shape)."""
    drawn = [np.random.default_rng((seed, row)).standard_normal(shape, np.float32) for row in rows]
    return torch.from_numpy(np.stack(drawn)).to(like.device)


def draw_times(rows_B: Tensor, training: bool) -> Tensor:
    """Where on its line each row is learnt (B,): drawn in training; else by its number, the same every time."""
    if training:
        normal_B = torch.randn(len(rows_B), device=rows_B.device)
    else:
        even_B = ((rows_B.double() + 0.5) * GOLDEN) % 1
        normal_B = torch.special.ndtri(even_B.clamp(1e-4, 1 - 1e-4)).float()
    return torch.sigmoid(TIME_MEAN + TIME_DEVIATION * normal_B)


def flow_loss(
    denoise: Denoise, data: Tensor, given: Conditions, rows_B: Tensor, *, training: bool, forget: float
) -> Tensor:
    """Squared error of the velocity at every place (B, ...), at one time per row.

    Args:
        denoise: the network.
        data: (B, ...), of about mean 0 and deviation 1.
        rows_B: numbers of the rows, by which noise is drawn where nothing is trained.
        forget: share of rows that are learnt as if they had no inputs, for guidance; in training.
    """
    t_B = draw_times(rows_B, training)
    if training:
        noise = torch.randn_like(data)
        given = given.hidden(torch.rand(len(data), device=data.device) >= forget)
    else:
        noise = draw_noise(rows_B.tolist(), JUDGED, tuple(data.shape[1:]), data)
    t = t_B.view(-1, *[1] * (data.ndim - 1))
    guess = denoise((1 - t) * noise + t * data, t_B, given).float()
    return ((guess - data) / (1 - t).clamp_min(NEAREST)).square()


def sample(denoise: Denoise, noise: Tensor, given: Conditions, how: Sampling) -> Tensor:
    """Integrate from noise (B, ...) to data (B, ...), by Heun's method and a last step of Euler's."""
    both = given.twice() if how.guidance != 1 else given

    def velocity(x: Tensor, t: float) -> Tensor:
        t_B = x.new_full((len(both.mean_BD),), t)
        guess = denoise(torch.cat([x, x]) if how.guidance != 1 else x, t_B, both).float()
        if how.guidance != 1:
            own, other = guess.chunk(2)
            guess = other + how.guidance * (own - other)
        return (guess - x) / (1 - t)

    x = noise * how.temperature
    for step in range(how.steps):
        t, after = step / how.steps, (step + 1) / how.steps
        first = velocity(x, t)
        ahead = x + (after - t) * first
        x = ahead if after == 1 else x + (after - t) / 2 * (first + velocity(ahead, after))
    return x
