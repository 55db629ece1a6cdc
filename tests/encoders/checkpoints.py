"""Tiny checkpoints with random weights, made on the spot, as ``save_pretrained`` would lay them out."""

from __future__ import annotations

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub, which reads it once

from pathlib import Path

import torch

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
WORDS = 60
POSITIONAL = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
SPEECH = {"conv_dim": (8,) * 7, **POSITIONAL, **SMALL}


def config(kind: str):
    """The configuration of a tiny model of a kind."""
    import transformers as hf

    ids = {"vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    eyes = {"image_size": 32, "patch_size": 8, **SMALL}
    clips = {"image_size": 16, "num_frames": 4, "num_hidden_layers": 2, "num_attention_heads": 2}
    clips |= {"hidden_size": 16, "intermediate_size": 24}
    seen = {"crop_size": 16, "frames_per_clip": 4, "patch_size": 8, "hidden_size": 48, "num_attention_heads": 2}
    seen |= {"pred_hidden_size": 48, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1}
    half = {"d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, **ids}
    heads = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    made = {
        "bert": lambda: hf.BertConfig(max_position_embeddings=40, **ids, **SMALL),
        "roberta": lambda: hf.RobertaConfig(max_position_embeddings=40, **{**ids, "pad_token_id": 1}, **SMALL),
        "gpt2": lambda: hf.GPT2Config(n_positions=40, n_embd=16, n_layer=2, n_head=2, **ids),
        "t5": lambda: hf.T5Config(d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, **ids),
        "bart": lambda: hf.BartConfig(max_position_embeddings=40, decoder_start_token_id=2, **heads, **half),
        "modernbert": lambda: hf.ModernBertConfig(cls_token_id=2, sep_token_id=3, **ids, **SMALL),
        "clip": lambda: hf.CLIPConfig(
            text_config={"max_position_embeddings": 40, **ids, **SMALL}, vision_config=eyes, projection_dim=8
        ),
        "vit": lambda: hf.ViTConfig(**eyes),
        "dinov2": lambda: hf.Dinov2WithRegistersConfig(
            num_register_tokens=3, **{k: v for k, v in eyes.items() if k != "intermediate_size"}
        ),
        "siglip": lambda: hf.SiglipConfig(text_config={**ids, **SMALL}, vision_config=eyes),
        "resnet": lambda: hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
        "convnext": lambda: hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "swin": lambda: hf.SwinConfig(
            image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
        ),
        "videomae": lambda: hf.VideoMAEConfig(patch_size=8, **clips),
        "timesformer": lambda: hf.TimesformerConfig(patch_size=8, **clips),
        "vivit": lambda: hf.VivitConfig(tubelet_size=[2, 8, 8], **clips),
        "vjepa2": lambda: hf.VJEPA2Config(num_hidden_layers=2, **seen),
        "wav2vec2-group": lambda: hf.Wav2Vec2Config(feat_extract_norm="group", **SPEECH),
        "wav2vec2-layer": lambda: hf.Wav2Vec2Config(
            feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True, **SPEECH
        ),
        "hubert": lambda: hf.HubertConfig(**SPEECH),
        "wavlm": lambda: hf.WavLMConfig(**SPEECH),
        "whisper": lambda: hf.WhisperConfig(decoder_start_token_id=2, **heads, **half),
        "ast": lambda: hf.ASTConfig(
            max_length=64, num_mel_bins=32, frequency_stride=10, time_stride=10, **{**SMALL, "patch_size": 16}
        ),
    }
    return made[kind]()


def make(folder: Path, kind: str, *, seed: int = 0, weights: bool = True) -> Path:
    """Write a checkpoint of a kind, with its tokenizer or preprocessor, and give its folder back."""
    from transformers import AutoModel

    torch.manual_seed(seed)
    model = AutoModel.from_config(config(kind))
    for parameter in model.parameters():  # zeros and ones hide mistakes
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder) if weights else model.config.save_pretrained(folder)
    prepare(folder, kind)
    return folder


def prepare(folder: Path, kind: str) -> None:
    import transformers as hf

    pixels = {"size": {"height": 32, "width": 32}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    eyes = {"size": {"shortest_edge": 18}, "crop_size": {"height": 16, "width": 16}, "image_mean": [0.4, 0.5, 0.6]}
    speech = {"sampling_rate": 16_000, "return_attention_mask": True}
    made = {
        "clip": lambda: hf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32),
        "siglip": lambda: hf.SiglipImageProcessorPil(**pixels),
        "vit": lambda: hf.ViTImageProcessorPil(**pixels),
        "dinov2": lambda: hf.BitImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}),
        "resnet": lambda: hf.ConvNextImageProcessorPil(size={"shortest_edge": 32}),
        "convnext": lambda: hf.ConvNextImageProcessorPil(size={"shortest_edge": 32}),
        "swin": lambda: hf.ViTImageProcessorPil(**pixels),
        "videomae": lambda: hf.VideoMAEImageProcessorPil(**eyes),
        "timesformer": lambda: hf.VideoMAEImageProcessorPil(**eyes),
        "vivit": lambda: hf.VivitImageProcessor(size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}),
        "wav2vec2-group": lambda: hf.Wav2Vec2FeatureExtractor(),
        "wav2vec2-layer": lambda: hf.Wav2Vec2FeatureExtractor(**speech),
        "hubert": lambda: hf.Wav2Vec2FeatureExtractor(),
        "speecht5": lambda: hf.SpeechT5FeatureExtractor(),
        "wavlm": lambda: hf.Wav2Vec2FeatureExtractor(do_normalize=False),
        "whisper": lambda: hf.WhisperFeatureExtractor(),
        "ast": lambda: hf.ASTFeatureExtractor(max_length=64, num_mel_bins=32),
    }
    if kind == "vjepa2":  # what writes it needs torchvision
        said = {"video_processor_type": "VJEPA2VideoProcessor", "crop_size": 16, "rescale_factor": 1 / 255}
        (folder / "video_preprocessor_config.json").write_text(json.dumps(said))
    if kind in made:
        made[kind]().save_pretrained(folder)
    if kind in ("bert", "roberta", "gpt2", "t5", "bart", "modernbert", "clip"):
        tokenizer(specials=kind not in ("gpt2",)).save(str(folder / "tokenizer.json"))


def tokenizer(*, specials: bool = True):
    """Whole words w0, w1, ...; with [CLS] in front and [SEP] behind where asked for."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(WORDS - 4))]
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if specials:
        made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    return made
