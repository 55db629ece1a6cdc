"""A language model as the head: against the library's own writing, frozen, and saved without its checkpoint."""

from __future__ import annotations

import copy
import functools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse
from polyfuse import registry
from polyfuse.heads.text.chat_template import Conversation
from polyfuse.heads.text.decode import Decoding, Rules, generate
from polyfuse.heads.text.lm import LM
from polyfuse.heads.text.memory import select_rows
from polyfuse.heads.text.packing import pack_rows
from polyfuse.heads.text.teacher_forcing import Learning, References
from polyfuse.records import Tokens
from polyfuse.testing import heads
from polyfuse.testing.heads import Case
from tests.encoders import checkpoints
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
    talk = Conversation(folder)
    assert (talk.before, talk.behind("w7 w8"), talk.end) == ([54], [11, 12, 55, 56], 3)
    assert talk.behind("") == [55, 56]
    assert Conversation(folder, tokens=False).behind(" w7 ") == [54, 11, 55, 56]


def test_it_writes_as_the_library_does(folder):
    decoder = LM(WORDS, 16, 0.0, path=str(folder), prompt="w7").eval()
    x, mask = decoder._prefix(memory())
    own = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": 3, "pad_token_id": 3}
    with torch.no_grad():
        found = generate(decoder, memory(), Rules(3, 3, most=6), Decoding())
        for row in range(3):  # without padding, which the library wants on the left
            theirs = decoder.model.generate(inputs_embeds=x[row : row + 1, mask[row]], **own)[0].tolist()
            assert found.ids[row] == (theirs[: theirs.index(3)] if 3 in theirs else theirs)


def opened(decoder: LM) -> LM:
    """With gates that let something through."""
    for block in decoder.gated.blocks if decoder.gated is not None else ():
        block.gate_attention.data.fill_(0.7)
        block.gate_forward.data.fill_(0.5)
    return decoder


@pytest.mark.parametrize("way", [{}, {"way": "gated", "every": 1}, {"train": "full", "prompt": "w9"}])
def test_step_by_step_is_all_at_once_and_the_loss_is_of_its_logits(folder, way):
    decoder = opened(LM(WORDS, 16, 0.0, path=str(folder), **way).eval())
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
    head.loss(heads.random_fused(), case.targets(transform)).sum().backward()
    assert head.decoder.project[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in head.decoder.model.parameters())


@pytest.mark.parametrize("train", ["frozen", "lora", "full"])
def test_what_is_frozen_gets_no_gradient(folder, train):
    case = Case(registry.head("text"), {"decoder": {"name": "lm", "path": str(folder), "train": train}}, CELLS)
    head, transform = case.made()
    head.loss(heads.random_fused(), case.targets(transform)).sum().backward()
    got = {name for name, p in head.decoder.model.named_parameters() if p.grad is not None}
    assert head.decoder.project[0].weight.grad.abs().sum() > 0
    assert bool(got) == (train != "frozen")
    assert train != "lora" or all("lora_" in name and "lm_head" not in name for name in got)
    assert all(p.grad is not None for p in head.decoder.model.parameters() if p.requires_grad)


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


# ---- gated cross-attention


def test_gates_begin_closed_and_then_open(folder):
    """At first it writes as the model does alone, whatever it sees; then each row follows what it sees."""
    decoder = LM(WORDS, 16, 0.0, path=str(folder), prompt="w7 w8", way="gated", every=1).eval()
    ids = torch.tensor([[*decoder.conversation.behind("w7 w8"), 9, 4]] * 3)
    with torch.no_grad():
        alone = decoder.model.model(ids, torch.ones_like(ids)).last_hidden_state[:, -3:]
        assert torch.equal(decoder._read(memory(), torch.tensor([[9, 4]] * 3)), alone)
        changed = opened(decoder)._read(memory(), torch.tensor([[9, 4]] * 3))
    assert (changed[0] - changed[1]).abs().max() > 1e-3
    torch.testing.assert_close(decoder.model.model(ids).last_hidden_state[:, -3:], alone)  # nothing seen outside


def test_a_copy_has_gates_of_its_own_and_threads_see_their_own(folder):
    decoder = opened(LM(WORDS, 16, 0.0, path=str(folder), way="gated", every=1).eval())
    copied, rows = copy.deepcopy(decoder), [memory(), Tokens(memory().x_BTD.flip(0), memory().mask_BT.flip(0))]
    before = torch.full((3, 2), 3)
    with torch.no_grad():
        whole = [decoder(own, before)[0] for own in rows]
        for block in decoder.gated.blocks:
            block.gate_attention.data.fill_(0.0)
        assert torch.equal(copied(rows[0], before)[0], whole[0])
        assert not torch.equal(decoder(rows[0], before)[0], whole[0])

    def say(at: int) -> torch.Tensor:
        with torch.no_grad():
            return copied(rows[at % 2], before)[0]

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, whole[at % 2]) for at, found in enumerate(pool.map(say, range(40))))


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "opt"])
def test_gated_blocks_fit_other_models(folder, tmp_path, kind):
    import transformers as hf

    ids = {"vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    made = {
        "gpt2": lambda: hf.GPT2Config(n_positions=40, n_embd=16, n_layer=2, n_head=2, **ids),
        "gpt_neox": lambda: hf.GPTNeoXConfig(**SMALL, **ids),
        "opt": lambda: hf.OPTConfig(max_position_embeddings=40, word_embed_proj_dim=16, ffn_dim=24, **SMALL, **ids),
    }
    torch.manual_seed(0)
    hf.AutoModelForCausalLM.from_config(made[kind]()).save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, tmp_path)
    decoder = opened(LM(WORDS, 16, 0.0, path=str(tmp_path), way="gated", every=2, prompt="w1").eval())
    ids_NT = torch.randint(4, WORDS, (3, 4))
    before = torch.cat([torch.full((3, 1), 3), ids_NT], 1)
    whole, _ = decoder(memory(), before)
    cache, found = decoder.begin(memory()), []
    for at in range(5):
        logits, cache = decoder.step(before[:, at], cache)
        found.append(logits)
    assert torch.allclose(torch.stack(found, 1), whole, atol=1e-5)
    assert whole[0].sub(whole[2]).abs().max() > 1e-4


def test_what_lies_before_the_first_gate_of_a_frozen_model_is_not_learnt(folder):
    """No graph leads to the states before it, so that nothing of them is kept or computed for the gradient."""
    decoder = opened(LM(WORDS, 16, 0.0, path=str(folder), way="gated", every=2))
    seen = {}
    for n, layer in enumerate(decoder.model.model.layers):
        layer.register_forward_hook(lambda _, __, out, n=n: seen.update({n: out}))
    texts = References(torch.randint(4, WORDS, (3, 4)), torch.tensor([4, 2, 3]), torch.ones(3, dtype=torch.bool))
    decoder.loss(memory(), texts, Learning()).sum().backward()
    states = {n: out[0] if isinstance(out, tuple) else out for n, out in seen.items()}
    assert not states[0].requires_grad
    assert states[1].requires_grad
    assert all(p.grad is None for p in decoder.model.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.gated.parameters())


def test_what_all_rows_begin_with_is_read_once_by_a_frozen_model(folder):
    """The ids in front of the tokens pass through it for one row, without gradient, and the result is the same."""
    decoder = LM(WORDS, 16, 0.0, path=str(folder), prompt="w7").eval()
    decoder.before = torch.tensor([4, 5, 6, 54])
    rows: list[tuple[int, int]] = []
    decoder.model.model.layers[0].register_forward_pre_hook(lambda _, args: rows.append(tuple(args[0].shape[:2])))
    before = torch.cat([torch.full((3, 1), 3), torch.randint(4, WORDS, (3, 4))], 1)
    once, _ = decoder(memory(), before)
    assert rows == [(1, 4), (3, 4 + 3 + 4)]  # four tokens, three words behind them, four units
    decoder.train_mode = "full"
    torch.testing.assert_close(decoder(memory(), before)[0], once, atol=1e-5, rtol=0)


@pytest.mark.parametrize("way", [{"way": "gated", "every": 1}, {"pack": 24}, {"pack": 24, "prompt": "w3 w3"}])
def test_other_ways_hold_what_heads_must(folder, way, monkeypatch):
    made = LM.__init__

    @functools.wraps(made)
    def opening(self, *args, **keywords):
        made(self, *args, **keywords)
        opened(self)

    monkeypatch.setattr(LM, "__init__", opening)
    own = {"name": "lm", "path": str(folder), "train": "full", **way}
    case = Case(registry.head("text"), {"decoder": own, "learn": {"references": "all"}}, CELLS)
    for check in heads.CHECKS[2:]:
        check(case)


# ---- packing


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("train", ["frozen", "full"])
@pytest.mark.parametrize("template", [True, False])
def test_packed_is_unpacked(folder, tmp_path, attention, train, template):
    own = shutil.copytree(folder, tmp_path / "own")
    if not template:
        (own / "chat_template.jinja").unlink()
    options = {"path": str(own), "train": train, "prompt": "w2 {q}"}
    plain, dense = LM(WORDS, 16, 0.0, **options).eval(), LM(WORDS, 16, 0.0, pack=20, **options).eval()
    dense.load_state_dict(plain.state_dict())
    plain.model.set_attn_implementation(attention)
    dense.model.set_attn_implementation(attention)
    row_N = torch.tensor([0, 0, 1, 2, 2, 2])  # two, one and three references; one has no text at all
    ids, lengths = torch.randint(4, WORDS, (6, 4)), torch.tensor([4, 2, 0, 3, 0, 1])
    whole = torch.tensor([True, False, False, True, True, True])
    losses, tokens = [], []
    for decoder in (plain, dense):
        first = decoder.model.get_decoder().layers[0]
        first.register_forward_pre_hook(lambda _, args: tokens.append(args[0].shape[0] * args[0].shape[1]))
        told = decoder.told(memory(), ["w2 w1 w5", "w2", "w2 w6"])
        texts = References(ids, lengths, whole, row_N if decoder is dense else None)
        losses.append(decoder.loss(told if decoder is dense else select_rows(told, row_N), texts, Learning()))
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=0)
    for loss in losses:
        loss.sum().backward()
    one, other = plain.project[0].weight.grad, dense.project[0].weight.grad
    torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)
    assert sum(tokens[len(tokens) // 2 :]) < 0.6 * sum(tokens[: len(tokens) // 2])


def test_a_row_longer_than_a_sequence_has_its_own():
    found = pack_rows(torch.ones(3, 5, dtype=torch.bool), torch.ones(3, 2, dtype=torch.bool), torch.arange(3), 6)
    assert found.position_SL.tolist() == [list(range(7))] * 3


# ---- what cannot be


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"way": "through"}, "way: expected prefix, gated"),
        ({"train": "some"}, "train: expected frozen"),
        ({"every": 2}, "every: it counts the layers between gated blocks"),
        ({"every": 0, "way": "gated"}, "every: expected a whole number from 1"),
        ({"pack": -1}, "pack: expected a whole number from 0"),
        ({"pack": 64, "way": "gated"}, "pack: sequences of several rows"),
    ],
)
def test_keywords_that_cannot_be_are_refused_before_anything_is_built(folder, given, said):
    with pytest.raises(ValueError, match=said):
        registry.head("text").wants(decoder={"name": "lm", "path": str(folder), **given})


def test_more_layers_between_gates_than_there_are(folder):
    with pytest.raises(ValueError, match="every: expected 1 to 2"):
        LM(WORDS, 16, 0.0, path=str(folder), way="gated", every=3)


@pytest.mark.parametrize(
    ("kind", "said"), [("bert", "an encoder alone"), ("t5", "an encoder of its own"), ("vit", "no lang")]
)
def test_other_checkpoints_are_refused_by_what_they_are(tmp_path, kind, said):
    checkpoints.make(tmp_path / kind, kind)
    with pytest.raises(ValueError, match=said):
        registry.head("text").wants(decoder={"name": "lm", "path": str(tmp_path / kind)})


def test_a_text_longer_than_the_model_has_room_for_is_said(folder, tmp_path):
    own = shutil.copytree(folder, tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 12}))
    with pytest.raises(ValueError, match="take up to 13 places, and it has 12"):
        LM(WORDS, 16, 0.0, path=str(own), prompt="w1")(memory(), torch.full((3, 6), 3))


def test_a_prompt_too_long_is_cut_and_said(folder, caplog):
    talk = Conversation(folder)
    ids = talk.behind(" ".join(["w1"] * 10_000))
    assert len(ids) == 512 + 2
    assert "10,000 tokens" in caplog.text


def test_a_base_model_without_conversations_answers_rows_without_anything(folder, tmp_path):
    own = shutil.copytree(folder, tmp_path / "own")
    (own / "chat_template.jinja").unlink()
    decoder = LM(WORDS, 16, 0.0, path=str(own)).eval()
    nothing = Tokens(torch.randn(2, 4, 16), torch.zeros(2, 4, dtype=torch.bool))
    with torch.no_grad():
        found = decoder(nothing, torch.full((2, 1), 3))[0][:, 0]
        alone = decoder.model(torch.tensor([[*decoder.conversation.before, *decoder.conversation.behind("")]])).logits
    torch.testing.assert_close(found, alone[:, -1].expand(2, -1), atol=1e-5, rtol=0)
