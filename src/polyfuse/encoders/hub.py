"""Finding a checkpoint: a starter part, a local folder, a name in the Hub's cache, or a name to download once.

A name that is not cached fails at once when there is no way to the Hub, instead of after minutes of retries.
"""

from __future__ import annotations

import json
from pathlib import Path

from polyfuse import starter

PATIENCE = 5.0  # seconds to wait for the Hub's first answer
KINDS = ("checkpoint", "random")
PLAIN = (".json", ".txt", ".model")  # what a checkpoint holds beside weights: configuration, vocabulary


def find(path: str | Path, *, weights: str = "checkpoint", modality: str | None = None) -> Path:
    """The folder of a checkpoint, from an installed package, from the disk, from the Hub's cache, or downloaded once.

    Args:
        path: ``starter:NAME``, a local folder, or a name on the Hugging Face Hub such as
            ``google-bert/bert-base-uncased``.
        weights: ``"checkpoint"`` when they are needed too, ``"random"`` when its configuration is enough.
        modality: of the cells that the checkpoint is to read; a starter part for others is refused.

    Raises:
        ValueError: ``weights`` is neither, or there is no such starter part here (see ``starter.find``).
        FileNotFoundError: no such folder, no such name, nothing cached and no way to the Hub, or no weights.
    """
    if weights not in KINDS:
        raise ValueError(f"weights={weights!r}: expected one of {', '.join(KINDS)}")
    if starter.is_name(path):
        return starter.find(str(path), modality=modality)
    folder = Path(path).expanduser()
    if folder.is_dir():
        return _is_complete(folder, weights)
    if folder.is_absolute() or folder.exists() or str(path).count("/") > 1 or str(path).startswith("."):
        raise FileNotFoundError(f"{path}: no such folder; expected a checkpoint's folder or its name on the Hub")
    return _find_in_cache(str(path), weights) or _download(str(path), weights)


def _is_complete(folder: Path, weights: str) -> Path:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder}: no config.json; expected a checkpoint as save_pretrained() writes it")
    if weights == "checkpoint" and not _has_weights(folder):
        raise FileNotFoundError(
            f"{folder}: no weights; expected model.safetensors beside config.json, "
            "or weights='random' to train this architecture from scratch"
        )
    return folder


def _has_weights(folder: Path) -> bool:
    for index in (*folder.glob("*.safetensors.index.json"), *folder.glob("*.bin.index.json")):
        shards = set(json.loads(index.read_text(encoding="utf8"))["weight_map"].values())
        return all((folder / shard).is_file() for shard in shards)
    return any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))


def _find_in_cache(name: str, weights: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        raise FileNotFoundError(f"{name!r} is neither a folder nor a possible name on the Hub") from None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if weights == "random" or _has_weights(folder) else None


def _download(name: str, weights: str) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    unreachable = (
        f"checkpoint {name!r} is not in the cache ({constants.HF_HUB_CACHE}) and the Hugging Face Hub cannot be "
        "reached{}; give a local folder as path, or download it once where there is a network"
    )
    if constants.HF_HUB_OFFLINE:
        raise FileNotFoundError(unreachable.format(" because HF_HUB_OFFLINE is set"))
    try:
        siblings = HfApi().model_info(name, timeout=PATIENCE).siblings or []
    except GatedRepoError:
        raise FileNotFoundError(
            f"{name!r} asks for consent: accept its terms on the Hub and log in (hf auth login)"
        ) from None
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"{name!r} is not on the Hub, or private; check the name or log in (hf auth login)"
        ) from None
    except Exception as error:  # whatever the Hub's HTTP client of the day raises
        raise FileNotFoundError(unreachable.format(f" ({type(error).__name__})")) from None
    return _is_complete(
        Path(snapshot_download(name, allow_patterns=_files_to_download([s.rfilename for s in siblings]))), weights
    )


def _files_to_download(files: list[str]) -> list[str]:
    """Configuration, vocabulary and one format of weights, from the top of the repository."""
    top = [f for f in files if "/" not in f]
    tensors = [f for f in top if f.endswith(".safetensors")]
    pickled = [f for f in top if f.startswith("pytorch_model") and f.endswith(".bin")]
    return [f for f in top if f.endswith(PLAIN)] + (tensors or pickled)


def files_to_save(folder: Path, *names: str) -> dict[str, str]:
    """Those of a checkpoint's files that exist, as a ``Spec`` names them; ``config.json`` always."""
    return {name: str(folder / name) for name in ("config.json", *names) if (folder / name).is_file()}
