"""A checkpoint that reads and writes as a whole: it says what the library says of the same cells, and can learn."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

import polyfuse
from polyfuse import registry
from polyfuse.data.cells.spelling import Speller
from polyfuse.heads.text.decode import Decoding, Rules
from polyfuse.heads.text.pretrained import Pretrained
from polyfuse.heads.text.self_critical import as_references
from polyfuse.recipe import RecipeError
from polyfuse.records import Tokens
from polyfuse.testing import heads
from polyfuse.testing.heads import Case
from tests.heads.text.writers import WORDS, library, make

READS = {
    "whisper": "audio",
    "speecht5": "audio",
    "speech-encoder-decoder": "audio",
    "vision-encoder-decoder": "image",
    "blip": "image",
    "git": "image",
    "t5": "text",
    "mt5": "text",
    "bart": "text",
    "mbart": "text",
    "pegasus": "text",
}
CELLS = ["w1", "w2 w3", "w4", "w5 w1 w1", "w6", ["w7", "w8 w9"], "w2", "w3 w1"]
ROWS = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place, made = tmp_path_factory.mktemp("writers"), {}

    def folder(kind):
        if kind not in made:
            made[kind] = make(place / kind, kind)
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sounds, pictures and texts, with a text to each."""
    place, rng, rows = tmp_path_factory.mktemp("cells"), np.random.default_rng(0), []
    for n in range(ROWS):
        sound = np.sin(np.arange(4000 + 800 * n) * 0.05 * (n + 1)) * 0.3 + rng.normal(0, 0.05, 4000 + 800 * n)
        soundfile.write(place / f"{n}.wav", sound, 16_000)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(place / f"{n}.png")
        text = " ".join(f"w{k}" for k in rng.integers(4, 50, n + 2))
        rows.append({"audio": f"{n}.wav", "image": f"{n}.png", "text": text, "said": f"w{n} w{n + 1}"})
    path = place / "table.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def said_by_the_library(folder, table, modality):
    """Row by row, so that padding has no part in it."""
    import transformers as hf

    frame, found = pd.read_csv(table), []
    for cell in frame[modality]:
        if modality == "audio":
            samples, _ = soundfile.read(table.parent / cell)
            reader = hf.AutoFeatureExtractor.from_pretrained(folder)
            named = {"audio": samples} if "SpeechT5" in type(reader).__name__ else {"raw_speech": samples}
            given = reader(**named, sampling_rate=16_000, return_tensors="pt")
            given.pop("attention_mask", None)
        elif modality == "image":
            reader = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
            given = reader(Image.open(table.parent / cell), return_tensors="pt")
        else:
            ids = torch.tensor([[2, *(int(w[1:]) + 4 for w in cell.split()), 3]])
            given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        found += library(folder, **given)
    speller = Speller.from_checkpoint(str(folder / "tokenizer.json"), 3)
    return [speller.text(ids) for ids in found]


def fitted(folder, table, modality, *more, decoder=""):
    settings = ["width=16", "preset=plain", "data.fractions=[1,0,0]", *more]
    settings += [f"outputs.said.head.decoder={{name: pretrained, path: {folder}{decoder}}}"]
    return polyfuse.fit(str(table), outputs=["said=text"], inputs=[modality], settings=settings, quiet=True)


OFTEN = ("whisper", "vision-encoder-decoder", "blip", "git", "bart")  # one of each way of asking, and of reading


@pytest.mark.parametrize("kind", [k if k in OFTEN else pytest.param(k, marks=pytest.mark.slow) for k in READS])
def test_as_it_comes_it_says_what_the_library_says(kind, folders, table):
    made = fitted(folders(kind), table, READS[kind])
    expected = said_by_the_library(folders(kind), table, READS[kind])
    found = made.predict(str(table), verbose=False)["said"].fillna("").tolist()
    assert len(set(expected)) > 1, expected
    assert found == expected


def memory(rows=3, width=16):
    mask = torch.ones(rows, 4, dtype=torch.bool)
    mask[1, 2:], mask[-1] = False, False
    return Tokens(torch.randn(rows, 4, width, generator=torch.Generator().manual_seed(1)), mask)


@pytest.mark.parametrize("kind", ["whisper", "vision-encoder-decoder", "t5"])
def test_step_by_step_is_all_at_once_and_a_row_is_alone(kind, folders):
    torch.manual_seed(0)
    decoder = Pretrained(WORDS, 16, 0.0, path=str(folders(kind)), input="none").eval()
    decoder.never = decoder.never_first = []
    ids = torch.randint(4, WORDS, (3, 4))
    before = torch.cat([torch.full((3, 1), 3), ids], 1)
    with torch.no_grad():
        whole, _ = decoder(memory(), before)
        cache, found = decoder.begin(memory()), []
        for at in range(5):
            logits, cache = decoder.step(before[:, at], cache)
            found.append(logits)
        assert torch.allclose(torch.stack(found, 1), whole, atol=1e-4)
        for row, there in enumerate([4, 2]):  # without its padding, which is not looked at
            given = memory()
            alone = Tokens(given.x_BTD[[row], :there], given.mask_BT[[row], :there])
            assert torch.allclose(decoder(alone, before[[row]])[0], whole[[row]], atol=1e-4)


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_a_text_is_as_likely_as_it_was_when_it_was_written(kind, folders):
    torch.manual_seed(0)
    decoder = Pretrained(WORDS, 16, 0.0, path=str(folders(kind)), input="none").eval()
    rules = Rules(decoder.end, decoder.end, (), 5, 1)
    with torch.no_grad():
        made = decoder.write(memory(), rules, Decoding(), range(3))
        texts = as_references(made.ids, rules, torch.device("cpu"))
        found = decoder.log_probability(memory(), texts, ())
    assert torch.isfinite(found).all()
    assert torch.allclose(found.double(), torch.tensor(made.scores).double(), atol=1e-3)


@pytest.mark.parametrize("train", ["frozen", "lora", "full"])
def test_what_is_frozen_gets_no_gradient(folders, train):
    own = {"name": "pretrained", "path": str(folders("bart")), "train": train, "input": "none"}
    head, transform = (case := Case(registry.head("text"), {"decoder": own}, CELLS)).made()
    head.loss(heads.random_fused(), case.targets(transform)).sum().backward()
    got = {name for name, p in head.decoder.model.named_parameters() if p.grad is not None}
    assert head.decoder.project[0].weight.grad.abs().sum() > 0
    assert bool(got) == (train != "frozen")
    assert train != "lora" or all("lora_" in name for name in got)


@pytest.mark.slow
def test_it_holds_what_heads_must(folders):
    own = {"name": "pretrained", "path": str(folders("bart")), "train": "full", "input": "none"}
    case = Case(registry.head("text"), {"decoder": own}, CELLS)
    for check in heads.CHECKS[1:]:
        check(case)


@pytest.mark.parametrize("train", ["lora", "full"])
def test_it_learns_from_what_its_own_encoder_reads_and_needs_no_checkpoint_then(folders, table, tmp_path, train):
    own = shutil.copytree(folders("bart"), tmp_path / "own")
    rate = ["training.learning_rate=0.003", "training.epochs=20"]
    made = fitted(own, table, "text", *rate, decoder=f", train: {train}")
    losses = made.bundle.report["training"]["history"][0]["loss"]
    assert losses[-1] < 0.8 * losses[0]
    before = made.predict(str(table), verbose=False)
    made.save(tmp_path / "model")
    shutil.rmtree(own)
    assert polyfuse.load(tmp_path / "model").predict(str(table), verbose=False).equals(before)


def test_as_it_comes_is_no_step_and_is_said(folders, table):
    made = fitted(folders("t5"), table, "text")
    head = made.recipe.outputs["said"].head.keywords["decoder"]
    assert made.recipe.training.epochs == 0
    assert head["input"] == "text"
    assert made.recipe.inputs["text"].transfer == "frozen"
    assert any("as it comes" in note for note in made.notes)
    assert (
        max(len(text.split()) for text in made.predict(str(table), verbose=False)["said"].dropna()) > 2
    )  # of training
    assert made.evaluate(str(table)).to_json()


def test_an_input_that_no_output_reads_keeps_nothing_busy(folders, table):
    frame = pd.read_csv(table).assign(image=lambda t: [str(table.parent / name) for name in t.image])
    head = f"outputs.said.head={{name: text, decoder: {{name: pretrained, path: {folders('git')}}}}}"
    options = {"settings": [head, "preset=plain"], "verbose": False}
    made = polyfuse.fit(frame, outputs=["said=text"], inputs=["image", "text"], **options)
    assert made.recipe.training.epochs == 0
    assert any("input 'text' has no say" in note for note in made.notes)


def test_two_inputs_that_fit_are_asked_for_by_name(folders, table):
    frame = pd.read_csv(table)
    head = f"outputs.said.head={{name: text, decoder: {{name: pretrained, path: {folders('git')}}}}}"
    frame = frame.assign(image=lambda t: [str(table.parent / name) for name in t.image], second=lambda t: t.image)
    with pytest.raises(RecipeError, match=r"decoder\.input=one"):
        polyfuse.fit(frame, outputs=["said=text"], inputs=["one@image", "two@second"], settings=[head], verbose=False)
    with pytest.raises(RecipeError, match="one image per row"):
        polyfuse.fit(frame, outputs=["said=text"], inputs=["both@image,second"], settings=[head], verbose=False)


def test_other_inputs_are_read_through_a_projector(folders, table):
    made = fitted(folders("t5"), table, "image", "training.epochs=1")
    assert made.recipe.outputs["said"].head.keywords["decoder"]["input"] == "none"
    assert any("projector" in note for note in made.notes)
    assert len(made.predict(str(table), verbose=False)) == ROWS


def test_a_missing_cell_changes_no_other_row(folders, table):
    made = fitted(folders("whisper"), table, "audio")
    frame = pd.read_csv(table).assign(audio=lambda t: [str(table.parent / name) for name in t.audio])
    whole = made.predict(frame, verbose=False)["said"].tolist()
    frame.loc[2, "audio"] = None
    less = made.predict(frame, verbose=False)["said"].tolist()
    assert less[:2] + less[3:] == whole[:2] + whole[3:]


@pytest.mark.parametrize(
    ("kind", "modality", "settings", "decoder", "said"),
    [
        ("t5", "image", ["training.epochs=0"], "", "0 trains nothing"),
        ("git", "text", [], "", "its own encoder"),
        ("blip", "image", [], ", input: none", "its own encoder"),
        ("bart", "text", ["training.epochs=2"], "", "nothing learns"),
        ("bart", "text", [], ", input: audio", "no input 'audio'|unknown input"),
        ("whisper", "image", [], ", input: image", "reads audio"),
        ("bart", "text", [], ", train: some", "expected frozen, lora, full"),
    ],
)
def test_what_does_not_go_together_is_refused(folders, table, kind, modality, settings, decoder, said):
    with pytest.raises((RecipeError, ValueError), match=said):
        fitted(folders(kind), table, modality, *settings, decoder=decoder)


def test_what_cannot_write_so_is_refused(folders, table, tmp_path):
    import transformers as hf

    from tests.encoders.checkpoints import make as encoder_of

    head = registry.head("text")
    with pytest.raises(ValueError, match="which the decoder lm writes with"):
        head.wants(decoder={"name": "pretrained", "path": str(encoder_of(tmp_path / "gpt2", "gpt2"))})
    with pytest.raises(ValueError, match="bert model, which the decoder pretrained does not know"):
        head.wants(decoder={"name": "pretrained", "path": str(encoder_of(tmp_path / "bert", "bert"))})
    own = shutil.copytree(folders("whisper"), tmp_path / "bare")
    (own / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer"):
        head.wants(decoder={"name": "pretrained", "path": str(own)})
    path = str(folders("bart"))
    with pytest.raises(ValueError, match="max_length: the checkpoint has 39 positions"):
        head.wants(decoder={"name": "pretrained", "path": path}, max_length=50)
    with pytest.raises(ValueError, match="own tokenizer"):
        head.wants(decoder={"name": "pretrained", "path": path}, unit="word")
    many = shutil.copytree(folders("whisper"), tmp_path / "many")
    how = hf.GenerationConfig.from_pretrained(many)
    how.lang_to_id, how.task_to_id = {"<|en|>": 50, "<|de|>": 51}, {"transcribe": 52, "translate": 53}
    how.save_pretrained(many)
    with pytest.raises(ValueError, match="knows 2 languages and is told none"):
        head.wants(decoder={"name": "pretrained", "path": str(many)})
    assert head.wants(decoder={"name": "pretrained", "path": str(many), "prompt": "w7 w8"})
