"""Tiny checkpoints that read and write, with random weights, and what the library itself makes of the same cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.encoders.checkpoints import SMALL, SPEECH, WORDS, prepare, tokenizer

IDS = {"vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
MOST = 12  # units of a text
NO_TIMES = WORDS - 1  # ids above it are times to Whisper


def _config(kind: str) -> Any:
    import transformers as hf

    half = {"d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 40, **IDS}
    layers = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    start = {"decoder_start_token_id": 2, "forced_eos_token_id": None}
    five = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0, **IDS}
    eyes = {"image_size": 32, "patch_size": 8, **SMALL}
    words = {"max_position_embeddings": 40, **IDS, **SMALL}
    decoder = hf.BertConfig(is_decoder=True, add_cross_attention=True, **{**words, "hidden_size": 8})
    made = {
        "t5": lambda: hf.T5Config(**five),
        "mt5": lambda: hf.MT5Config(**{**five, "tie_word_embeddings": False}),
        "bart": lambda: hf.BartConfig(**start, **layers, **half),
        "mbart": lambda: hf.MBartConfig(**start, **layers, **half),
        "pegasus": lambda: hf.PegasusConfig(**start, **layers, **half),
        "whisper": lambda: hf.WhisperConfig(
            **start,
            **layers,
            **{k: v for k, v in half.items() if k != "max_position_embeddings"},
            max_target_positions=40,
        ),
        "speecht5": lambda: hf.SpeechT5Config(
            **start, **SPEECH, **layers, encoder_ffn_dim=24, decoder_ffn_dim=24, max_text_positions=40, **IDS
        ),
        "speech-encoder-decoder": lambda: hf.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(
            hf.Wav2Vec2Config(**SPEECH), decoder, decoder_start_token_id=2, eos_token_id=3, pad_token_id=0
        ),
        "vision-encoder-decoder": lambda: hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            hf.ViTConfig(**eyes), decoder, decoder_start_token_id=2, eos_token_id=3, pad_token_id=0
        ),
        "blip": lambda: hf.BlipConfig(
            text_config={**words, "sep_token_id": 3, "encoder_hidden_size": 16, "is_decoder": True},
            vision_config=eyes,
            projection_dim=8,
        ),
        "git": lambda: hf.GitConfig(vision_config=eyes, **words),
    }
    return made[kind]()


def make(folder: Path, kind: str) -> Path:
    """A checkpoint that reads and writes, with the tokenizer of words and what prepares its input."""
    from polyfuse.encoders.checkpoint import seq2seq_class

    torch.manual_seed(1)
    config = _config(kind)
    model = seq2seq_class(config).from_config(config)
    for parameter in model.parameters():  # texts that differ, and come to an end
        parameter.data += 0.3 * torch.randn_like(parameter)
    for name, parameter in model.named_parameters():  # which follow what is read
        parameter.data *= 4 if "encoder_attn" in name or "crossattention" in name else 1
    model.generation_config.max_length = MOST
    if kind == "whisper":
        model.generation_config.suppress_tokens = [7, 8, NO_TIMES]
        model.generation_config.begin_suppress_tokens = [9, 3]
        model.generation_config.no_timestamps_token_id = NO_TIMES
        model.generation_config.is_multilingual = False
        model.generation_config._from_model_config = False  # which would leave these out
    model.save_pretrained(folder)
    reads = {"vision-encoder-decoder": "vit", "blip": "vit", "git": "vit", "whisper": "whisper"}
    reads |= {"speecht5": "speecht5", "speech-encoder-decoder": "hubert"}
    prepare(folder, reads.get(kind, "t5"))
    made = tokenizer(specials=True)
    made.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    made.save(str(folder / "tokenizer.json"))
    return folder


def library(folder: Path, **inputs: Any) -> list[list[int]]:
    """Ids of the texts that the library's own ``generate`` writes, greedily; without signs."""
    from polyfuse.encoders.checkpoint import load_config, seq2seq_class, silence_transformers

    config = load_config(folder)
    with silence_transformers():
        model = seq2seq_class(config).from_pretrained(folder).eval()
    how = model.generation_config
    banned = sorted({*(how.suppress_tokens or ()), 0, 2})
    more = {} if config.model_type == "whisper" else {"min_new_tokens": 1}  # no text is empty here
    more |= {"max_length": MOST} if config.model_type == "blip" else {}  # whose parts have settings of their own
    with torch.no_grad():
        found = model.generate(**inputs, do_sample=False, num_beams=1, suppress_tokens=banned, **more)
    signs = {0, 2, 3, NO_TIMES} if config.model_type == "whisper" else {0, 2, 3}
    return [[at for at in row if at not in signs] for row in found.tolist()]
