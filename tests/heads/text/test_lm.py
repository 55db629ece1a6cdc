"""A language model as the head: against the library's own writing, frozen, and saved without its checkpoint."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse
from polyfuse import registry
from polyfuse.heads.text.decode import Decoding, Rules, write
from polyfuse.heads.text.learning import Learning, References
from polyfuse.heads.text.lm import LM, conversation
from polyfuse.records import Tokens
from polyfuse.testing import heads
from polyfuse.testing.heads import Case
from tests.encoders.checkpoints import SMALL, WORDS, tokenizer
from tests.heads.text.test_decode import check_rows

TEMPLATE = "{% for m in messages %}w50 {{ m['content'] }} w51 {% endfor %}{% if add_generation_prompt %}w52 {% endif %}"
CELLS = ["w1", "w2 w3", "w4", "w5 w1 w1", "w6", ["w7", "w8 w9"], "w2", "w3 w1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Llama with a tokenizer of words and a form of conversations."""
    import transformers as hf

    place = tmp_path_factory.mktemp("lm") / "tiny"
    torch.manual_seed(0)
    config = hf.LlamaConfig(vocab_size=WORDS, eos_token_id=3, bos_token_id=2, pad_token_id=0, **SMALL)
    model = hf.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(place)
    made = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer(specials=False), eos_token="[SEP]", pad_token="[PAD]")
    made.chat_template = TEMPLATE
    made.save_pretrained(place)
    return place


def memory(rows: int = 3) -> Tokens:
    mask = torch.ones(rows, 4, dtype=torch.bool)
    mask[1, 2:], mask[-1] = False, False
    return Tokens(torch.randn(rows, 4, 16, generator=torch.Generator().manual_seed(1)), mask)


def test_the_form_of_conversations_is_kept(folder):
    before, after, end = conversation(folder, "w7 w8")
    assert (before, after, end) == ([54], [11, 12, 55, 56], 3)


def test_it_writes_as_the_library_does(folder):
    decoder = LM(WORDS, 16, 0.0, path=str(folder), prompt="w7").eval()
    x, mask = decoder._prefix(memory())
    own = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": 3, "pad_token_id": 3}
    with torch.no_grad():
        found = write(decoder, memory(), Rules(3, 3, most=6), Decoding())
        for row in range(3):  # without padding, which the library wants on the left
            theirs = decoder.model.generate(inputs_embeds=x[row : row + 1, mask[row]], **own)[0].tolist()
            assert found.ids[row] == (theirs[: theirs.index(3)] if 3 in theirs else theirs)


def test_step_by_step_is_all_at_once_and_the_loss_is_of_its_logits(folder):
    decoder = LM(WORDS, 16, 0.0, path=str(folder)).eval()
    ids = torch.randint(4, WORDS, (3, 4))
    before = torch.cat([torch.full((3, 1), 3), ids], 1)
    whole, _ = decoder(memory(), before)
    cache, found = decoder.begin(memory()), []
    for at in range(5):
        logits, cache = decoder.step(before[:, at], cache)
        found.append(logits)
    assert torch.allclose(torch.stack(found, 1), whole, atol=1e-5)
    texts = References(ids, torch.tensor([4, 2, 3]), torch.tensor([True, True, False]))
    _, next_NT, there_NT = texts.shifted(3, 3, 3)
    plain = torch.nn.functional.cross_entropy(whole.transpose(1, 2), next_NT, reduction="none") * there_NT
    expected = plain.sum(1) / there_NT.sum(1)
    assert torch.allclose(decoder.loss(memory(), texts, Learning()), expected, atol=1e-5)


def test_a_text_is_its_own_rows_alone_in_every_way(folder):
    decoder = LM(WORDS, 16, 0.0, path=str(folder), prompt="w7").eval()
    for parameter in decoder.model.parameters():
        parameter.data *= 2  # or all rows would say the same
    draw = torch.randn(5, 4, 16, generator=torch.Generator().manual_seed(1)) * 3
    check_rows(decoder, Rules(3, 3, banned=(0, 1)), draw, [4, 2, 0, 3, 1])


def test_scheduled_sampling_reads_its_own_words_and_smoothing_gives_all_their_share(folder):
    decoder = LM(WORDS, 16, 0.0, path=str(folder)).train()
    texts = References(torch.randint(4, WORDS, (3, 4)), torch.tensor([4, 2, 3]), torch.tensor([True, True, False]))
    before_NT, next_NT, there_NT = texts.shifted(3, 3, 3)
    logits = decoder(memory(), before_NT)[0]
    smooth = torch.nn.functional.cross_entropy(logits.transpose(1, 2), next_NT, reduction="none", label_smoothing=0.3)
    expected = (smooth * there_NT).sum(1) / there_NT.sum(1)
    assert torch.allclose(decoder.loss(memory(), texts, Learning(label_smoothing=0.3)), expected, atol=1e-5)
    own = torch.cat([before_NT[:, :1], logits.argmax(-1)[:, :-1]], 1)
    logits = decoder(memory(), own)[0]
    forced = torch.nn.functional.cross_entropy(logits.transpose(1, 2), next_NT, reduction="none")
    expected = (forced * there_NT).sum(1) / there_NT.sum(1)
    assert torch.allclose(decoder.loss(memory(), texts, Learning(scheduled_sampling=1 - 1e-9)), expected, atol=1e-5)


def test_the_probability_of_a_text_is_among_the_units_that_may_be_written(folder):
    decoder, banned = LM(WORDS, 16, 0.0, path=str(folder)).eval(), (0, 1, 2)
    ids = torch.randint(4, WORDS, (3, 4))
    texts = References(ids, torch.tensor([4, 2, 0]), torch.tensor([False, True, True]))
    logits = decoder(memory(), torch.cat([torch.full((3, 1), 3), ids], 1))[0]
    logits[..., list(banned)] = -torch.inf
    log = logits.log_softmax(-1)
    expected = [sum(log[0, at, ids[0, at]] for at in range(4)), log[1, [0, 1, 2], [*ids[1, :2], 3]].sum(), log[2, 0, 3]]
    assert torch.allclose(decoder.log_probability(memory(), texts, banned), torch.stack(expected), atol=1e-4)


def test_the_projector_of_a_frozen_model_learns_by_the_worth_of_texts(folder):
    options = {"decoder": {"name": "lm", "path": str(folder)}, "learn": {"self_critical": 0.5, "samples": 3}}
    case = Case(registry.head("text"), options, CELLS)
    head, transform = case.made()
    told = dict(enumerate(transform.decode(transform.encode(CELLS, heads.Limits()))))
    head.rewarded_by(told, list(told))
    head.reward = lambda rows, texts: np.array([float("w1" in text) for text in texts])
    head.at(1.0)
    head.loss(heads.joint(), case.targets(transform)).sum().backward()
    assert head.decoder.project[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in head.decoder.model.parameters())


@pytest.mark.parametrize("train", ["frozen", "lora", "full"])
def test_what_is_frozen_gets_no_gradient(folder, train):
    case = Case(registry.head("text"), {"decoder": {"name": "lm", "path": str(folder), "train": train}}, CELLS)
    head, transform = case.made()
    head.loss(heads.joint(), case.targets(transform)).sum().backward()
    got = {name for name, p in head.decoder.model.named_parameters() if p.grad is not None}
    assert head.decoder.project[0].weight.grad.abs().sum() > 0
    assert bool(got) == (train != "frozen")
    assert train != "lora" or all("lora_" in name for name in got)


def test_it_holds_what_heads_must(folder):
    case = Case(registry.head("text"), {"decoder": {"name": "lm", "path": str(folder), "train": "full"}}, CELLS)
    for check in heads.CHECKS[1:]:
        check(case)


def test_a_saved_model_needs_no_checkpoint(folder, tmp_path):
    own = shutil.copytree(folder, tmp_path / "tiny")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=40), "said": [f"w{n % 3} w{n % 5}" for n in range(40)]})
    settings = ["training.epochs=2", "width=16", "preset=plain", "data.fractions=[1,0,0]"]
    settings += [f"outputs.said.head.decoder={{name: lm, path: {own}, train: lora, prompt: w9}}"]
    made = polyfuse.fit(table, outputs=["said=text"], settings=settings, quiet=True)
    before = made.predict(table, verbose=False)
    made.save(tmp_path / "model")
    shutil.rmtree(own)
    assert polyfuse.load(tmp_path / "model").predict(table, verbose=False).equals(before)


def test_what_is_no_language_model_is_refused(folder, tmp_path):
    made = registry.head("text")
    with pytest.raises(ValueError, match="needs 'path'"):
        made.wants(decoder="lm")
    own = shutil.copytree(folder, tmp_path / "bare")
    (own / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        made.wants(decoder={"name": "lm", "path": str(own)})
    with pytest.raises(ValueError, match="own tokenizer"):
        made.wants(decoder={"name": "lm", "path": str(folder)}, unit="word")
