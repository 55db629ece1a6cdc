"""Token classifiers of Hugging Face answer at once, as the library's pipeline does on the first subword of a word."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.recipe import RecipeError

WORDS = ["Anna", "went", "to", "Bonn", "U.N.", "3-1", "unhappily", "seen", "."]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "anna", "went", "to", "bonn", "u", ".", "n", "3", "-", "1"]
PIECES += ["un", "##happi", "##ly", "see", "##n"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder per kind of labels, of random weights that tell words apart."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoModelForTokenClassification, BertConfig, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoints")
    made = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    for name, labels in (("parts", ["NN", "VB", "SYM"]), ("spans", ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])):
        torch.manual_seed(3)
        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config = BertConfig(
            vocab_size=len(PIECES),
            max_position_embeddings=24,
            id2label=dict(enumerate(labels)),
            label2id={label: n for n, label in enumerate(labels)},
            architectures=["BertForTokenClassification"],
            **size,
        )
        model = AutoModelForTokenClassification.from_config(config)
        torch.nn.init.normal_(model.classifier.weight, std=2.0)
        model.save_pretrained(folder / name)
        PreTrainedTokenizerFast(tokenizer_object=made, **named).save_pretrained(folder / name)
    return folder


def table(labels, rows=12, seed=0):
    rng = np.random.default_rng(seed)
    words = [[str(w) for w in rng.choice(WORDS, rng.integers(2, 9))] for _ in range(rows)]
    return pd.DataFrame({"words": words, "tags": [[str(rng.choice(labels)) for _ in row] for row in words]})


def first_subwords(folder, frame):
    """What the pipeline says of the token with which each word begins."""
    from transformers import pipeline

    said = pipeline("token-classification", model=str(folder), ignore_labels=[])
    found = []
    for words in frame.words:
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        by_start = {token["start"]: token for token in said(" ".join(words))}
        found.append([by_start[int(start)]["entity"] for start in starts])
    return found


def fit(frame, folder, **more):
    head = f"outputs.tags.head={{name: tags, path: {folder}}}"
    return pf.fit(frame, outputs=["tags"], settings=[head, *more.pop("settings", [])], quiet=True, **more)


def test_a_checkpoint_answers_at_once_as_the_pipeline_does(checkpoints, tmp_path):
    frame = table(["NN", "VB", "SYM"])
    model = fit(frame, checkpoints / "parts")
    assert model.recipe.training.epochs == 0
    assert model.recipe.inputs["text"].named == "pretrained"
    said = model.predict(frame, verbose=False).tags.tolist()
    assert said == first_subwords(checkpoints / "parts", frame)
    assert len({tag for tags in said for tag in tags}) > 1
    model.save(tmp_path / "saved")
    assert pf.load(tmp_path / "saved").predict(frame, verbose=False).tags.tolist() == said


def test_spans_of_a_checkpoint_never_break_their_scheme_and_go_by_that_of_the_table(checkpoints):
    frame = table(["O", "I-PER", "I-LOC"])
    model = fit(frame, checkpoints / "spans")
    head = model.bundle.network.head("tags")
    assert head.classes == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert head.scheme == "iob1"
    best = {}

    def seen(module, given, scores):
        best["tags"] = scores.argmax(-1)

    with torch.no_grad():
        hook = head.last.register_forward_hook(seen)
        model.predict(frame.head(1), verbose=False)
        hook.remove()
    plain = [head.classes[n] for n in best["tags"][0].tolist()]
    assert plain == first_subwords(checkpoints / "spans", frame.head(1))[0]


def test_a_long_text_is_read_in_windows_and_its_beginning_as_ever(checkpoints):
    frame = table(["NN", "VB", "SYM"], rows=4)
    model = fit(frame, checkpoints / "parts")
    (long,) = model.predict(pd.DataFrame({"words": [WORDS * 40]}), verbose=False).tags
    assert len(long) == 40 * len(WORDS)
    assert len(set(long[-len(WORDS) :])) > 1


def test_the_last_layer_learns_where_epochs_are_asked_for(checkpoints):
    frame = table(["NN"] * 8 + ["VB"], rows=24)
    frame["tags"] = [["VB" if word == "went" else "NN" for word in words] for words in frame.words]
    model = fit(frame, checkpoints / "parts", settings=["training.epochs=20", "training.learning_rate=0.05"])
    assert model.evaluate(frame, verbose=False).outputs["tags"].metrics["token_accuracy"] > 0.9


def test_what_is_no_token_classifier_is_refused(checkpoints, tmp_path):
    from transformers import AutoModel

    frame = table(["NN", "VB"])
    shutil.copytree(checkpoints / "parts", tmp_path / "plain")
    AutoModel.from_pretrained(checkpoints / "parts").save_pretrained(tmp_path / "plain")
    with pytest.raises(
        (RecipeError, ValueError), match=r"expected a checkpoint ...ForTokenClassification, found BertModel"
    ):
        fit(frame, tmp_path / "plain")
    with pytest.raises(ValueError, match="the checkpoint does not know the tag 'XX'; it knows 'NN', 'VB', 'SYM'"):
        fit(frame.assign(tags=frame.tags.map(lambda tags: ["XX", *tags[1:]])), checkpoints / "parts")


def test_a_checkpoint_stands_beside_words_as_a_second_encoder(checkpoints):
    frame = table(["O", "I-PER"], rows=24)
    frame["tags"] = [["I-PER" if word == "Anna" else "O" for word in words] for words in frame.words]
    read = f"{{name: pretrained, path: {checkpoints / 'spans'}, transfer: frozen}}"
    parts = f"[{{name: words, width: 16, embedding: 8}}, {read}]"
    settings = [
        f"inputs.words.encoder={parts}",
        "training.epochs=30",
        "training.batch_size=8",
        "training.learning_rate=0.01",
        "width=16",
    ]
    model = pf.fit(frame, outputs=["tags"], inputs=["words@words=text"], settings=settings, quiet=True)
    assert [i.part.keywords.get("whole") for i in model.recipe.readers.values()] == [None, True]
    assert model.evaluate(frame, verbose=False).outputs["tags"].metrics["span_f1"] > 0.8
