from __future__ import annotations

import pytest

from polyfuse import starter
from tests.starter.needed import needed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]


def test_it_knows_a_capital_and_has_a_template_for_conversations(capfd):
    pytest.importorskip("gguf", reason="gguf, which reads its file, is not installed: pip install 'polyfuse[language]'")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = starter.find(needed("smollm2"))
    assert capfd.readouterr().out == ""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).float(), AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=4, do_sample=False)
    assert "Paris" in tokenizer.decode(made[0])
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    assert "<|im_start|>user\nHello" in asked
