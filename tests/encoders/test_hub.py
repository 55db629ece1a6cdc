from __future__ import annotations

import json
import time

import huggingface_hub
import pytest
from huggingface_hub import constants

from polyfuse import registry
from polyfuse.encoders import hub as finding
from polyfuse.encoders.hub import find
from polyfuse.encoders.text.pretrained import Pretrained
from tests.encoders.checkpoints import make

MODALITIES = ("text", "image", "audio")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the Hub, with a network that is there but never used."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("downloads"))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: pytest.fail("asks the Hub"))
    return tmp_path / "hub"


def cached(hub, kind: str, **options):
    """A checkpoint laid out as the Hub's cache does."""
    base = hub / "models--someone--something"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text("0" * 40)
    return make(base / "snapshots" / ("0" * 40), kind, **options)


def test_offline_and_not_cached_is_a_clear_error_at_once(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.perf_counter()
    for modality in MODALITIES:
        with pytest.raises(FileNotFoundError, match=r"someone/something.*HF_HUB_OFFLINE.*local folder"):
            registry.encoder(modality, "pretrained").wants(path="someone/something")
    assert time.perf_counter() - start < 5


def test_a_hub_out_of_reach_is_a_clear_error_after_one_attempt(hub, monkeypatch):
    asked = []

    def refuse(self, name, timeout):
        asked.append(timeout)
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(FileNotFoundError, match=r"cannot be reached \(ConnectionError\).*local folder"):
        find("someone/something")
    assert asked == [finding.PATIENCE]


def test_a_cached_name_needs_no_network(hub):
    folder = cached(hub, "bert")
    assert find("someone/something") == folder
    assert Pretrained(path="someone/something").width == 16


def test_a_cached_configuration_is_enough_for_random_weights_only(hub, monkeypatch):
    folder = cached(hub, "bert", weights=False)
    assert find("someone/something", weights="random") == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="not in the cache"):
        find("someone/something")


def test_a_download_takes_one_format_of_weights_and_no_folders(hub, monkeypatch, tmp_path):
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.safetensors", "vocab.txt", "a.png"]

    class Info:
        siblings = [type("File", (), {"rfilename": name}) for name in names]  # noqa: RUF012

    taken = []

    def download(name, allow_patterns):
        taken.extend(allow_patterns)
        return make(tmp_path / "made", "bert")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: Info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find("someone/something") == tmp_path / "made"
    assert sorted(taken) == ["config.json", "model.safetensors", "vocab.txt"]


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "some/where/else", "two words", "a..b/c"])
def test_what_is_neither_a_folder_nor_a_name_is_an_error(hub, path):
    with pytest.raises(FileNotFoundError, match="folder"):
        find(path)


def test_a_folder_must_hold_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        find(tmp_path)
    make(tmp_path, "bert", weights=False)
    with pytest.raises(FileNotFoundError, match="weights='random'"):
        find(tmp_path)
    assert find(tmp_path, weights="random") == tmp_path
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(FileNotFoundError, match="no weights"):
        find(tmp_path)


def test_weights_are_the_checkpoints_or_random(tmp_path):
    with pytest.raises(ValueError, match=r"'chekpoint'.*checkpoint, random"):
        find(tmp_path, weights="chekpoint")
