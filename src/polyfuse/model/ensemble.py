"""Ensembles: classical learners and further networks beside a network, averaged by weights at decision level.

Weights are fitted on rows that no member saw while it was trained (``training/stacking.py``). Wolpert, Stacked
generalization, Neural Networks 1992; Caruana et al., Ensemble selection from libraries of models, ICML 2004.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import GivesFeatures, offers
from polyfuse.layers.features import Bag, Block
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Batch, Cells, Tokens


@dataclass
class MemberInputs:
    """What the members of an ensemble read: features of a batch, and tokens of the further networks.

    Args:
        blocks: reader -> features of each row, zeros where its cell is missing: (B, F), or a bag of as many rows.
        present: reader -> which rows have a cell (B,).
        encoded: of each further network, input -> tokens.
    """

    blocks: dict[str, Block]
    present: dict[str, Tensor]
    encoded: list[dict[str, Tokens]]

    def without(self, inputs: Collection[str], reads: Mapping[str, Sequence[str]]) -> MemberInputs:
        """Return the same with some inputs missing in every row."""
        gone = {reader for name in inputs for reader in reads[name]}
        blocks = {r: _zero_block(block) if r in gone else block for r, block in self.blocks.items()}
        present = {r: torch.zeros_like(p) if r in gone else p for r, p in self.present.items()}
        return MemberInputs(blocks, present, [hide_inputs(encoded, inputs) for encoded in self.encoded])


def hide_inputs(encoded: Mapping[str, Tokens], inputs: Collection[str]) -> dict[str, Tokens]:
    """Mask all tokens of some inputs."""
    return {n: replace(t, mask_BT=torch.zeros_like(t.mask_BT)) if n in inputs else t for n, t in encoded.items()}


def _zero_block(block: Block) -> Block:
    if isinstance(block, Tensor):
        return torch.zeros_like(block)
    return replace(block, weights_BK=torch.zeros_like(block.weights_BK))


def has_features(network: Any, reader: str) -> bool:
    """Whether an encoder has features of a cell before any training: its own ``features``, or frozen tokens."""
    return reader in network.frozen or offers(network.encoder(reader), GivesFeatures)


def features(network: Any, reader: str, cells: Cells) -> Block:
    """Features that an encoder gives of each row before any training, slots side by side.

    Shapes: cells of B rows in K slots -> (B, K * F), zeros where a cell is missing.
    """
    encoder: Any = network.encoder(reader)
    if reader in network.frozen:
        tokens: Any = network.read(reader, cells).fields
        block = masked_mean(tokens.x_BTD, tokens.mask_BT)
    else:
        block = encoder.features(cells.fields)
    return _by_row(block, cells.index_BK)


def _by_row(block_U: Block, index_BK: Tensor) -> Block:
    """Features of distinct cells -> of rows."""
    at_BK, there_BK = index_BK.clamp_min(0), index_BK >= 0
    if isinstance(block_U, Tensor):
        return (block_U[at_BK] * there_BK[..., None]).flatten(1)
    slot_K = torch.arange(index_BK.shape[1], device=index_BK.device)[:, None]
    ids_BKN = block_U.ids_BK[at_BK] + slot_K * block_U.size
    weights_BKN = block_U.weights_BK[at_BK] * there_BK[..., None]
    return Bag(ids_BKN.flatten(1), weights_BKN.flatten(1), block_U.size * index_BK.shape[1])


class LearnerMember(nn.Module):
    """A member: a classical learner on the features of some readers, for one output.

    Args:
        learner: fitted, or restored from its arrays.
        readers: whose features it reads, in order.
    """

    def __init__(self, learner: nn.Module, output: str, readers: Sequence[str]):
        super().__init__()
        self.learner, self.output, self.readers = learner, output, tuple(readers)

    def forward(self, heard: MemberInputs) -> tuple[Tensor, Tensor]:
        """Scores (B, C), and which rows it has anything to say of (B,)."""
        scores_BC = self.learner([heard.blocks[reader] for reader in self.readers])
        return scores_BC, torch.stack([heard.present[reader] for reader in self.readers]).any(0)


class Ensemble(nn.Module):
    """The members beside a network, and their weights.

    Args:
        networks: further networks of the same recipe, whose frozen encoders are the first one's.
        opinions: learners.
        outputs: names of the outputs, in order.
        temperatures: output -> what scores of the networks are divided by.
        weights: output -> weight of the networks together, then of each of its opinions, summing to 1.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        opinions: Sequence[LearnerMember],
        outputs: Sequence[str],
        temperatures: Mapping[str, float],
        weights: Mapping[str, Sequence[float]],
    ):
        super().__init__()
        self.networks, self.opinions = nn.ModuleList(networks), nn.ModuleList(opinions)
        self.outputs = list(outputs)
        for n, name in enumerate(self.outputs):
            self.register_buffer(f"temperature_{n}", torch.tensor(float(temperatures[name])))
            self.register_buffer(f"weight_{n}", torch.tensor([float(w) for w in weights[name]]))

    def weights(self, output: str) -> Tensor:
        """Weight of the networks together, then of each opinion on this output."""
        return getattr(self, f"weight_{self.outputs.index(output)}")

    def member_inputs(
        self, network: Any, batch: Batch, before: MemberInputs | None = None, changed: Collection[str] = ()
    ) -> MemberInputs:
        """Compute what the members read of a batch.

        Args:
            network: the first one.
            before: what they read of the same batch before some inputs changed.
            changed: these inputs; all where there is nothing from before.
        """
        inputs = network.inputs if before is None else list(changed)
        found = MemberInputs({}, {}, [{} for _ in self.networks]) if before is None else _copy(before)
        wanted = {reader for opinion in self.opinions for reader in opinion.readers}  # type: ignore[union-attr]
        for name in inputs:
            for reader in network.reads[name]:
                if reader in wanted:
                    found.blocks[reader] = features(network, reader, batch.inputs[reader])
                    found.present[reader] = batch.inputs[reader].present_B
            for other, encoded in zip(self.networks, found.encoded, strict=True):
                encoded[name] = other.encode_input(name, batch)  # type: ignore[operator]
        return found

    def decide(self, output: str, own_BC: Tensor, head: Any, heard: MemberInputs, batch: Batch) -> Tensor:
        """The first network's scores of an output (B, C) -> those of all members together."""
        temperature = getattr(self, f"temperature_{self.outputs.index(output)}")
        nets = [own_BC] + [
            net.fuse_and_score({n: encoded[n] for n in net.inputs}, batch).scores[output]  # type: ignore[operator, union-attr]
            for net, encoded in zip(self.networks, heard.encoded, strict=True)
        ]
        nets_BNC = torch.stack([scores_BC.float() / temperature for scores_BC in nets], 1)
        even_BN = nets_BNC.new_full(nets_BNC.shape[:2], 1 / len(nets))
        scores = [head.combine(nets_BNC, even_BN, "mean")]
        there = [torch.ones(own_BC.shape[0], dtype=torch.bool, device=own_BC.device)]
        for opinion in self.opinions:
            if opinion.output == output:
                found_BC, there_B = opinion(heard)
                scores.append(found_BC.float())
                there.append(there_B)
        weight_BM = self.weights(output) * torch.stack(there, 1)
        # where nobody with a say is there, the network answers: it takes any subset of inputs
        silent_B = weight_BM.sum(1) < 1e-6
        weight_BM = torch.cat([weight_BM[:, :1] + silent_B[:, None], weight_BM[:, 1:]], 1)
        return head.combine(torch.stack(scores, 1), weight_BM / weight_BM.sum(1, keepdim=True), "mean")


def _copy(heard: MemberInputs) -> MemberInputs:
    return MemberInputs(dict(heard.blocks), dict(heard.present), [dict(encoded) for encoded in heard.encoded])
