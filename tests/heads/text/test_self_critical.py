"""Texts learnt by their worth: the gradient by hand, the reward as the metric has it, and CIDEr-D that rises."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse
from polyfuse import registry
from polyfuse.heads.text.decode import Decoding, Rules
from polyfuse.heads.text.gru import GRU
from polyfuse.heads.text.self_critical import Reward, as_references, self_critical
from polyfuse.heads.text.teacher_forcing import References
from polyfuse.heads.text.transformer import Transformer
from polyfuse.metrics.text import cider, tokens
from polyfuse.recipe import RecipeError
from polyfuse.records import Tokens
from polyfuse.testing import heads
from polyfuse.testing.heads import Case

REFERENCES = {
    0: ["a dog runs on the grass", "the dog is running"],
    3: "two cats sleep on a red sofa",
    5: ["a man rides a red bike", "a man on his bike", "somebody rides a bike"],
    8: "the man sleeps",
}


def test_the_reward_is_the_metric_on_the_same_strings():
    said = ["a dog is running on grass", "two cats sleep on a red sofa", "A man!", ""]
    references = [[told] if isinstance(told, str) else told for told in REFERENCES.values()]
    split = [[tokens.caption_words(text) for text in row] for row in references]
    expected = cider.cider_d([tokens.caption_words(text) for text in said], split)
    reward = Reward.of(REFERENCES, list(REFERENCES))
    assert reward(list(REFERENCES), said) == pytest.approx(expected)
    assert expected.max() > 5
    # a row's reward does not depend on which rows are judged with it, and frequencies are those of training alone
    assert reward([5, 5], [said[2], said[0]])[0] == pytest.approx(expected[2])
    fewer = Reward.of(REFERENCES, [0, 3])
    assert fewer([0], said[:1])[0] != pytest.approx(expected[0])
    assert fewer([8], ["the man sleeps"])[0] == pytest.approx(
        cider.References([[tokens.caption_words("the man sleeps")]], fewer.frequencies).scores(
            [tokens.caption_words("the man sleeps")]
        )[0]
    )


def test_the_reward_of_chinese_counts_signs():
    told = {0: "一只狗在草地上奔跑", 1: "两只猫在沙发上睡觉"}
    assert Reward.of(told, [0, 1])([0, 1], ["一只狗在草地上奔跑", "两只狗"])[0] == pytest.approx(10)


def made(kind, rows: int = 1):
    torch.manual_seed(0)
    decoder = kind(6, 8, 0.3)
    return decoder, Tokens(torch.randn(rows, 2, 8), torch.ones(rows, 2, dtype=torch.bool))


RULES = Rules(begin=1, end=2, banned=(0, 1, 3), most=2)
TEXTS = [[], *([a] for a in (4, 5)), *([a, b] for a in (4, 5) for b in (4, 5))]


def probabilities(decoder, memory) -> torch.Tensor:
    """Of every text there is (7,), by the decoder's steps."""
    wide = Tokens(memory.x_BTD.expand(len(TEXTS), -1, -1), memory.mask_BT.expand(len(TEXTS), -1))
    return decoder.log_probability(wide, as_references(TEXTS, RULES, torch.device("cpu")), RULES.banned).exp()


@pytest.mark.parametrize("kind", [Transformer, GRU])
def test_the_probabilities_of_all_texts_sum_to_one_and_are_those_of_the_steps(kind):
    decoder, memory = made(kind)
    decoder.eval()
    chances = probabilities(decoder, memory)
    assert chances.sum().item() == pytest.approx(1, abs=1e-5)
    many = Tokens(memory.x_BTD.expand(3000, -1, -1), memory.mask_BT.expand(3000, -1))
    found = decoder.write(many, RULES, Decoding(sample=True), range(3000)).ids
    shares = [found.count(text) / len(found) for text in TEXTS]
    assert np.allclose(shares, chances.detach(), atol=0.03)


@pytest.mark.parametrize("kind", [Transformer, GRU])
def test_its_gradient_is_that_of_the_expected_worth(kind, monkeypatch):
    """Over every pair of texts, weighed by how likely the pair is drawn, it is exact."""
    decoder, memory = made(kind)
    worth = {tuple(text): float(len(text) == 1) + (text == [5, 4]) * 3.0 for text in TEXTS}
    decoder.eval()
    chances = probabilities(decoder, memory)
    expected = -sum(p * worth[tuple(text)] for p, text in zip(chances, TEXTS, strict=True))
    wanted = torch.autograd.grad(expected, decoder.parameters(), allow_unused=True)
    total = 0.0
    decoder.train()  # draws and probabilities are without dropout all the same
    for one, other in itertools.product(range(len(TEXTS)), repeat=2):
        pair = [TEXTS[one], TEXTS[other]]
        monkeypatch.setattr(decoder, "write", lambda *_, p=pair: type("Said", (), {"ids": p}))
        loss = self_critical(decoder, memory, RULES, 2, lambda ids: np.array([worth[tuple(text)] for text in ids]))
        total = total + loss[0] * (chances[one] * chances[other]).detach()
    assert decoder.training
    found = torch.autograd.grad(total, decoder.parameters(), allow_unused=True)
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.allclose(mine, theirs, atol=1e-5)


def test_a_step_makes_the_better_text_likelier_and_the_worse_one_less_so():
    decoder, memory = made(Transformer)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=0.2)
    before = probabilities(decoder.eval(), memory).detach()
    for _ in range(15):
        optimizer.zero_grad()
        self_critical(
            decoder, memory, RULES, 5, lambda ids: np.array([float(text == [4, 5]) for text in ids])
        ).sum().backward()
        optimizer.step()
    after = probabilities(decoder.eval(), memory).detach()
    at = TEXTS.index([4, 5])
    assert after[at] > before[at] + 0.1
    assert after.sum().item() == pytest.approx(1, abs=1e-5)


def test_texts_of_equal_worth_teach_nothing():
    decoder, memory = made(GRU, rows=2)
    loss = self_critical(decoder, memory, RULES, 3, lambda ids: np.ones(len(ids)))
    assert loss.shape == (2,)
    assert torch.allclose(loss, torch.zeros(2), atol=1e-6)


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_the_head_is_rewarded_in_the_last_part_of_its_schedule_alone(decoder):
    learn = {"references": "all", "self_critical": 0.25, "samples": 2}
    case = Case(registry.head("text"), {"decoder": decoder, "learn": learn})
    head, transform = case.made(dropout=0.0)
    batch, fused = case.targets(transform, missing=(2,)), heads.random_fused()
    forced = head.loss(fused, batch)
    head.at(1.0)
    assert torch.equal(head.loss(fused, batch), forced)  # nobody gave it references
    told = dict(enumerate(transform.decode(transform.encode(case.cells, heads.Limits()))))
    head.rewarded_by(told, list(told))
    head.at(0.74)
    assert torch.equal(head.loss(fused, batch), forced)
    head.at(0.75)
    torch.manual_seed(3)
    rewarded = head.loss(fused, batch)
    assert not torch.allclose(rewarded, forced)
    assert rewarded[2] == 0
    torch.manual_seed(3)
    assert torch.equal(head.loss(fused, batch), rewarded)
    blank = case.targets(transform, missing=range(8))
    head.loss(fused, blank).sum().backward()
    quality = head.eval().quality(fused, batch)
    said = head.predict(fused, replace(batch, outputs={})).value
    expected = head.reward(list(range(8)), said)
    assert quality[2] == 0
    assert np.allclose(np.delete(quality, 2), np.delete(expected, 2))
    head.rewarded_by({}, [])
    assert torch.allclose(head.quality(fused, batch), -head.loss(fused, batch))


def test_what_cannot_be_is_refused_by_name():
    wants = registry.head("text").wants
    with pytest.raises(ValueError, match=r"learn\.self_critical: ctc draws no texts"):
        wants(decoder="ctc", learn={"self_critical": 0.2})
    with pytest.raises(ValueError, match="self_critical: expected a share"):
        wants(learn={"self_critical": 1})
    with pytest.raises(ValueError, match="samples: expected a whole number from 2"):
        wants(learn={"self_critical": 0.2, "samples": 1})
    with pytest.raises(ValueError, match="set self_critical as well"):
        wants(learn={"samples": 3})


def test_a_drawn_text_that_was_cut_has_no_end():
    texts = as_references([[4, 5], [], [4]], RULES, torch.device("cpu"))
    assert isinstance(texts, References)
    assert texts.ids_NT.tolist() == [[4, 5], [0, 0], [4, 0]]
    assert texts.whole_N.tolist() == [False, True, True]


KINDS = ("dog", "cat", "horse", "bird", "fish")
PLACES = ("grass", "sand", "road", "water")


def told(rows: int = 240) -> pd.DataFrame:
    """What is where, each row in three of many ways to say it, of which no single one is likely."""
    draw = np.random.default_rng(0)
    ways = ("a {} on the {}", "there is a {} and it is on the {}", "on the {1} we see one {0}", "the {1} has a {0}",
            "one small {} stands on {}", "look at this {} that is on the {}", "on {1} stands a {0}")  # fmt: skip
    kind, place = draw.integers(5, size=rows), draw.integers(4, size=rows)
    chosen = [draw.choice(len(ways), 3, replace=False) for _ in range(rows)]
    return pd.DataFrame(
        {
            "kind": [KINDS[at] for at in kind],
            "place": [PLACES[at] for at in place],
            "said": [
                [ways[way].format(KINDS[k], PLACES[p]) for way in three]
                for k, p, three in zip(kind, place, chosen, strict=True)
            ],
        }
    )


FAST = ("width=24", "preset=plain", "training.learning_rate=0.005", "training.batch_size=32", "training.select=best",
        "outputs.said.head.decoder={name: transformer, depth: 1}", "data.fractions=[0.8,0.2,0]")  # fmt: skip


def test_a_model_is_rewarded_through_the_front_door_and_says_so(tmp_path):
    settings = [*FAST, "training.steps=12", "outputs.said.head.learn.self_critical=0.5"]
    model = polyfuse.fit(told(60), outputs=["said=text"], settings=[*settings, "training.loggers=[]"], quiet=True)
    note = "output 'said' learnt from its references for 6 steps, and for 6 more by the worth"
    assert any(note in said for said in model.notes)
    assert all(quality >= 0 for quality in model.facts["training"]["history"][0]["val_quality"])  # no loss
    assert model.recipe.outputs["said"].head.keywords["learn"] == {"self_critical": 0.5}
    assert model.predict(told(5), verbose=False).said.str.len().min() > 0
    with pytest.raises(RecipeError, match="set judge: quality, or select: last"):
        polyfuse.fit(told(60), outputs=["said=text"], settings=[*settings, "training.judge=loss"], quiet=True)
    timed = [*FAST, "training.time=3", "training.epochs=5", "outputs.said.head.learn.self_critical=0.5"]
    assert polyfuse.fit(told(60), outputs=["said=text"], settings=timed, quiet=True).facts["training"]["steps"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "gain"), [("transformer", 0.5), ("gru", 0.2)])
def test_cider_d_rises_by_the_self_critical_stage(decoder, gain):
    """At equal steps, judged on rows that are not learnt from; of one seed (gru: 3.26, then 3.63)."""
    found = []
    for share in (0.0, 0.5):
        settings = [*FAST, "training.steps=600", f"outputs.said.head.learn.self_critical={share}"]
        settings += [f"outputs.said.head.decoder={decoder}"]
        model = polyfuse.fit(told(), outputs=["said=text"], settings=settings, quiet=True)
        report = model.evaluate(told(400).iloc[240:], verbose=False)
        found.append(report.outputs["said"].metrics["cider_d"])
    assert found[1] > found[0] + gain
