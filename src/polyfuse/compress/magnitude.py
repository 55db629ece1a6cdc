"""Single weights of least magnitude become 0 and stay so, while the others learn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polyfuse.compress.parts import Ratio, copied, shares
from polyfuse.compress.study import Study
from polyfuse.compress.tune import tune
from polyfuse.model.bundle import Bundle

SCOPES = ("global", "part")


class Magnitude:
    """Sets the weights of least magnitude to 0; shapes stay, so that the folder and the time stay as they were too.

    It shows how much a model can lose, and helps where zeros are packed or skipped: an archive of it is smaller.

    Args:
        ratio: share of weights that become 0: one number, or part -> number, such as ``image=0.5,text=0.3``, a part
            being an input, a modality, ``fusion`` or an output.
        scope: whether weights compete with those of all parts of one ratio (``global``) or within their ``part``.
        epochs: of training afterwards; a share of the recipe's own by default, and 0 for none.
    """

    paper = "Han et al., Learning both Weights and Connections for Efficient Neural Networks, NeurIPS 2015"
    strengths: Sequence[Mapping[str, Any]] = tuple(
        {"ratio": r} for r in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    )

    def __init__(self, *, ratio: Ratio = 0.5, scope: str = "global", epochs: float | None = None):
        if scope not in SCOPES:
            raise ValueError(f"magnitude: scope: expected one of {', '.join(SCOPES)}, found {scope!r}")
        self.ratio, self.scope, self.epochs = ratio, scope, epochs

    def compress(self, bundle: Bundle, study: Study) -> tuple[Bundle, str]:
        """The model with weights set to 0, and what was done in words."""
        made = copied(bundle)
        masks = self._masks(made)
        parameters = dict(made.network.named_parameters())
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)
        said = tune(made, study, epochs=self.epochs, masks=masks)
        gone, total = (
            sum(int(x) for x in each)
            for each in ([(~m).sum() for m in masks.values()], [m.numel() for m in masks.values()])
        )
        return made, f"{gone:,} of {total:,} weights are 0, {said}"

    def _masks(self, bundle: Bundle) -> dict[str, Tensor]:
        """Parameter -> where it stays: matrices and kernels of parts that are named; biases and norms stay."""
        network, groups = bundle.network, dict[Any, dict[str, Tensor]]()
        for path, share in shares(self.ratio, bundle, "magnitude").items():
            module = network.get_submodule(path)
            own = {f"{path}.{n}": p.detach() for n, p in module.named_parameters() if p.ndim > 1 and p.requires_grad}
            if share and own:
                groups.setdefault((share, None if self.scope == "global" else path), {}).update(own)
        if not groups:
            raise ValueError("magnitude: these parts have no weights that are trained; name others")
        found = dict[str, Tensor]()
        for (share, _), own in groups.items():
            sizes = torch.cat([weight.abs().flatten() for weight in own.values()])
            count = round(share * len(sizes))
            least = sizes.kthvalue(count).values if count else sizes.new_tensor(-1.0)
            found |= {name: weight.abs() > least for name, weight in own.items()}
        return found
