"""Clips through a Hugging Face checkpoint, seen exactly as it was trained to see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyfuse.contracts import spec_of
from polyfuse.data.cells.image import from_processor
from polyfuse.encoders.checkpoint import CheckpointEncoder, keep_layers, load_config, load_model
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.layers.clips import spans_of_times
from polyfuse.records import Spec, Tokens

FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
GREY, IMAGENET = ([0.5] * 3, [0.5] * 3), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
BYTE, CROP = 1 / 255, {"height": 224, "width": 224}
# kind -> what it does to pictures where its file does not say; whether it takes exactly its own number of pictures
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "videomae": ({"size": {"shortest_edge": 224}, "mean": GREY, "rescale_factor": BYTE, "crop_size": CROP}, True),
    "timesformer": ({"size": {"shortest_edge": 224}, "mean": GREY, "rescale_factor": BYTE, "crop_size": CROP}, False),
    "vivit": (
        {"size": {"shortest_edge": 256}, "mean": GREY, "rescale_factor": 2 * BYTE, "crop_size": CROP, "offset": True},
        True,
    ),
    "vjepa2": ({"size": None, "mean": IMAGENET, "rescale_factor": BYTE, "crop_size": 256}, False),
}
BILINEAR = 2


class Pretrained(CheckpointEncoder):
    """A Hugging Face video checkpoint: VideoMAE, TimeSformer, ViViT or V-JEPA 2.

    Args:
        image_size: (height, width) of the pictures that come in.
        path: a local folder, or a name on the Hugging Face Hub.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        layers: how many of its first blocks to keep; all where None.
        frames: pictures of each clip; ``"auto"`` takes as many as it was trained on. VideoMAE and ViViT take no other
            number.
        seconds: of the middle part that they are spread over; ``"auto"`` for all of a clip.
        over_space: ``"mean"`` gives a token per moment, ``"keep"`` one per place and moment, of which there are some
            thousand.

    Raises:
        FileNotFoundError: no such checkpoint, here or within reach.
        ValueError: another kind of model, another number of pictures than it takes, or steps that cannot be reproduced.

    See also:
        ``frames`` with ``image: {name: pretrained, path: ...}`` for checkpoints of pictures.
    """

    scale_311: Tensor
    shift_311: Tensor
    paper = "Tong et al., VideoMAE, NeurIPS 2022"

    @spec_of("image_size")
    @staticmethod
    def wants(path: str, weights: str, frames: int | str, seconds: float | str) -> Spec:
        """As many pictures as the checkpoint takes, resized and cropped as its own processor does."""
        folder = find(path, weights=weights, modality="video")
        keywords = {"frames": _count(folder, frames), "seconds": seconds, "picture": _steps(folder)}
        return Spec("video.frames", keywords, files_to_save(folder, *FILES))

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        path: str,
        weights: str = "checkpoint",
        layers: int | None = None,
        frames: int | str = "auto",
        seconds: float | str = "auto",  # noqa: ARG002 - for wants() alone
        over_space: str = "mean",
    ):
        super().__init__()
        if over_space not in ("mean", "keep"):
            raise ValueError(f"over_space: expected mean or keep, found {over_space!r}")
        folder = find(path, weights=weights, modality="video")
        self.over_space, self.count = over_space, _count(folder, frames)
        model, missing = load_model(folder, weights)
        config: Any = model.config
        self.kind: str = config.model_type
        tube, side = getattr(config, "tubelet_size", [1]), getattr(config, "patch_size", None)
        self.tube = _first(tube)
        self.side = _first(side or tube[1:])
        self.model = keep_layers(model.encoder if self.kind == "vjepa2" else model, layers)  # its predictor is no use
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None
        scale, shift = _scale_and_shift(folder)
        self.register_buffer("scale_311", scale, persistent=False)
        self.register_buffer("shift_311", shift, persistent=False)
        shown = torch.zeros(1, self.count, 3, *image_size, dtype=torch.uint8)
        sample = {"frames": shown, "times": torch.zeros(1, self.count), "lengths": torch.tensor([self.count])}
        self.settle(sample, missing)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``frames`` (U, N, 3, H, W) uint8, ``times``, ``lengths`` -> tokens (U, T, D), moment by moment.

        A clip of another number of pictures gives evenly spaced ones of its own.
        """
        shares_N = (torch.arange(self.count, device=present_B.device) + 0.5) / self.count
        lengths_U1 = fields["lengths"][:, None]
        at_UN = (shares_N * lengths_U1).long().clamp_min(0)
        frames = fields["frames"].gather(1, at_UN[..., None, None, None].expand(-1, -1, *fields["frames"].shape[2:]))
        x_UTD, grid = self._read(frames.to(self.scale_311.dtype) * self.scale_311 - self.shift_311)
        prefix = x_UTD.shape[1] - grid[0] * grid[1] * grid[2]
        times_UM = fields["times"].gather(1, at_UN)[:, :: self.tube]
        span_UM2 = spans_of_times(times_UM)
        whole_U12 = torch.stack([span_UM2[:, :1, 0], span_UM2[:, -1:, 1]], -1)
        places = grid[1] * grid[2]
        if self.over_space == "mean":
            mean_UMD = x_UTD[:, prefix:].unflatten(1, (grid[0], places)).mean(2)
            x_UTD, grid, places = torch.cat([x_UTD[:, :prefix], mean_UMD], 1), grid[:1], 1
        span_UT2 = span_UM2[:, :, None].expand(-1, -1, places, -1).flatten(1, 2)
        span_UT2 = torch.cat([whole_U12.expand(-1, prefix, -1), span_UT2], 1)
        mask_UT = present_B[:, None].expand(x_UTD.shape[:2])
        return Tokens(x_UTD, mask_UT, grid=grid, prefix=prefix, span_BT2=span_UT2)

    def _read(self, pixels: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """(U, N, 3, H, W) -> tokens, any class token first, then moment by moment, row by row; (moments, rows, ...)."""
        grid = (pixels.shape[1] // self.tube, pixels.shape[3] // self.side, pixels.shape[4] // self.side)
        name = "pixel_values_videos" if self.kind == "vjepa2" else "pixel_values"
        x_UTD = self.model(**{name: pixels}).last_hidden_state
        if self.kind != "timesformer":
            return x_UTD, grid
        places_UPND = x_UTD[:, 1:].unflatten(1, (grid[1] * grid[2], grid[0]))  # its tokens go place by place
        return torch.cat([x_UTD[:, :1], places_UPND.transpose(1, 2).flatten(1, 2)], 1), grid


def _first(sides: Any) -> int:
    return int(sides[0] if isinstance(sides, (list, tuple)) else sides)


def _count(folder: Path, frames: int | str) -> int:
    """Pictures of a clip.

    Raises:
        ValueError: another kind of checkpoint, or a number that it does not take.
    """
    config = load_config(folder)
    if config.model_type not in KINDS:
        raise ValueError(f"{folder.name} is a {config.model_type}; expected one of {', '.join(KINDS)}")
    own = config.frames_per_clip if config.model_type == "vjepa2" else config.num_frames
    if frames == "auto":
        return own
    tube = config.tubelet_size if config.model_type == "vjepa2" else 1
    if not isinstance(frames, int) or frames < 1 or frames % tube:
        raise ValueError(f"frames={frames!r}: expected auto or a multiple of {tube}")
    if KINDS[config.model_type][1] and frames != own:
        raise ValueError(f"frames={frames}: {folder.name}, a {config.model_type}, takes exactly {own}")
    return frames


def _processor(folder: Path) -> dict[str, Any]:
    """What a checkpoint does to pictures, defaults filled in.

    Raises:
        FileNotFoundError: nothing says it.
    """
    kind = load_config(folder).model_type
    found = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{folder}: no {' or '.join(FILES[:2])}, so its pictures cannot be prepared")
    said = json.loads(found.read_text(encoding="utf8"))
    said = said.get("video_processor") or said.get("image_processor") or said
    own, _ = KINDS[kind]
    mean, deviation = own["mean"]
    plain = {"do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True, "resample": BILINEAR}
    full = {**plain, "offset": False, "image_mean": mean, "image_std": deviation, **own}
    full |= {key: value for key, value in said.items() if value is not None}
    if kind == "vjepa2":  # whatever its file says
        crop = full["crop_size"]["height"] if isinstance(full["crop_size"], dict) else full["crop_size"]
        full["size"] = {"shortest_edge": int(crop * 256 / 224)}
    return full


def _steps(folder: Path) -> dict[str, Any]:
    """The keywords of ``Pixels`` that do what a checkpoint does to pictures before it normalises them."""
    return from_processor({**_processor(folder), "image_processor_type": "VideoMAEImageProcessor"})


def _scale_and_shift(folder: Path) -> tuple[Tensor, Tensor]:
    """Scale and shift, (3, 1, 1) each, that turn bytes into what a checkpoint saw."""
    full = _processor(folder)
    rescale, offset = (full["rescale_factor"], float(full["offset"])) if full["do_rescale"] else (1.0, 0.0)
    normal = full["do_normalize"]
    mean, deviation = (torch.tensor(full[k] if normal else d) for k, d in (("image_mean", [0.0]), ("image_std", [1.0])))
    return (rescale / deviation)[:, None, None], ((mean + offset) / deviation)[:, None, None]
