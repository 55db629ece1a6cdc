"""Videos as some of their pictures, each read by an encoder of pictures, then put together over time."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.video.pictures import SMALL, kept_files, picture_encoder, picture_spec
from polyfuse.layers.clips import SPARE, spans_of_times
from polyfuse.layers.over_time import WAYS
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.positions import length_mask
from polyfuse.records import Spec, Tokens


class Frames(nn.Module):
    """Pictures of a video, each read by an image encoder, then averaged or read in order.

    Args:
        image_size: (height, width) of the pictures that come in.
        image: encoder of the pictures: a name, or ``{"name": ..., keywords}``; any that asks for pixels.
        over_time: ``"mean"`` hears no order; ``"attention"``, ``"gru"`` and ``"shift"`` learn one.
        frames: pictures of each video, evenly spaced.
        seconds: of the middle part that they are spread over; ``"auto"`` for all of a video.
        dropout: of what pictures say, in training.
        files: folder of a saved model, from which a checkpoint is built again.

    Raises:
        ValueError: no such image encoder or way over time, or an encoder that asks for something else than pixels.

    See also:
        ``image: {name: efficientnet_lite}`` with ``transfer: frozen`` for few videos of things.
    """

    paper = "Karpathy et al., Large-scale video classification with convolutional neural networks, CVPR 2014"

    @spec_of("image_size", "files")
    @staticmethod
    def wants(image: str | Mapping[str, Any], frames: int, seconds: float | str) -> Spec:
        """Pictures at some moments, sized as the image encoder asks for."""
        spec = picture_spec(image)
        keywords = {"frames": frames, "seconds": seconds, "picture": spec.keywords}
        spare = {} if spec.files else {"spare": SPARE}  # checkpoints see large pictures, as a rule once
        return Spec("video.frames", {**keywords, **spare}, spec.files)

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        image: str | Mapping[str, Any] = SMALL,
        over_time: str = "mean",
        frames: int = 8,
        seconds: float | str = "auto",
        dropout: float = 0.1,
        files: Path | None = None,
    ):
        super().__init__()
        self.image = picture_encoder(image, image_size, files)
        if over_time not in ("mean", *WAYS):
            raise ValueError(f"over_time: expected one of mean, {', '.join(WAYS)}, found {over_time!r}")
        self.width: int = self.image.width  # type: ignore[assignment]
        self.drop = nn.Dropout(dropout)
        self.over_time = None if over_time == "mean" else WAYS[over_time](self.width, dropout)

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again from the files of its ``Spec``, where it has a checkpoint."""
        return kept_files(folder)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``frames`` (U, N, 3, H, W) uint8, ``times`` (U, N), ``lengths`` (U,) -> a token per picture (U, N, D).

        With ``over_time="mean"`` one token (U, 1, D).
        """
        frames = fields["frames"]
        count = frames.shape[1]
        real_UN = length_mask(fields["lengths"], count) & present_B[:, None]
        seen = self.image({"pixels": frames.flatten(0, 1)}, real_UN.flatten())
        x_UND = self.drop(masked_mean(seen.x_BTD, seen.mask_BT).unflatten(0, (-1, count)))
        if self.over_time is None:
            return Tokens(masked_mean(x_UND, real_UN)[:, None], real_UN.any(1, keepdim=True))
        return Tokens(self.over_time(x_UND, real_UN), real_UN, grid=(count,), span_BT2=spans_of_times(fields["times"]))
