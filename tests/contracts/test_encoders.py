"""What every encoder must hold, run over every row of the registry; the checks are those of ``polyfuse.testing``."""

from __future__ import annotations

import pytest
import torch

from polyfuse import registry
from polyfuse.testing import encoders
from polyfuse.testing.encoders import VOCABULARY as TEXT
from polyfuse.testing.encoders import Case
from tests.contracts.slow import slow_but
from tests.encoders import checkpoints

ROWS = [(modality, name) for modality, table in registry.ENCODERS.items() for name in table]
KEYWORDS = {  # other parts of some rows
    "text:ngrams:tfidf": {"tfidf": True},
    "columns:mlp:pieces": {"pieces": 4},
    "columns:tabm:pieces": {"pieces": 4},
    "video:frames:attention": {"over_time": "attention"},
    "video:frames:gru": {"over_time": "gru"},
    "video:frames:shift": {"over_time": "shift"},
    "video:frames:vit": {"image": "vit"},
    "video:two_stream:flow": {"motion": "flow"},
}
EXPORTED = {"text:ngrams", "image:resnet", "audio:spectrogram_cnn", "video:frames:gru", "columns:mlp"}
CASES = [":".join(row) for row in ROWS] + list(KEYWORDS)
every_encoder = pytest.mark.parametrize("named", CASES)


# ---- tiny checkpoints, made on the spot


def text_checkpoint(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(TEXT - 5))]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    special["mask_token"] = "[MASK]"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **special).save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=TEXT, max_position_embeddings=32, **size)).save_pretrained(folder)


def image_checkpoint(folder):
    from transformers import ViTConfig, ViTModel

    (folder / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor", "do_resize": true, "size": {"height": 32, "width": 32}, '
        '"resample": 2, "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true, '
        '"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=32, patch_size=8, **size)).save_pretrained(folder)


def audio_checkpoint(folder):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (10, 8)}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    # group norm, the other kind, mixes padding into every frame
    config = Wav2Vec2Config(feat_extract_norm="layer", layerdrop=0.0, **size, **convolutions, **positions)
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=16_000, return_attention_mask=True).save_pretrained(folder)


def video_checkpoint(folder):
    checkpoints.make(folder, "videomae")


OWN = {"universal": "universal_sentence_encoder", "efficientnet_lite": "efficientnet-lite0"}  # architectures of ours


@pytest.fixture(scope="session")
def architectures(tmp_path_factory):
    """Encoder -> keywords that build it from a folder with a configuration alone, with random weights."""
    found = {}
    for name, kind in OWN.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "config.json").write_text(f'{{"model_type": "{kind}"}}')
        found[name] = {"path": str(folder), "weights": "random"}
    return found


@pytest.fixture(scope="session")
def folders_of_checkpoints(tmp_path_factory):
    """Modality -> folder of a tiny checkpoint."""
    makers = {"text": text_checkpoint, "image": image_checkpoint, "audio": audio_checkpoint, "video": video_checkpoint}
    folders = {}
    for modality, make in makers.items():
        folders[modality] = tmp_path_factory.mktemp(modality)
        torch.manual_seed(0)
        make(folders[modality])
    return folders


@pytest.fixture
def case(request, named):
    modality, name = named.split(":")[:2]
    made = registry.encoder(modality, name)
    if name in OWN:
        return Case(made, request.getfixturevalue("architectures")[name])
    checkpoint = request.getfixturevalue("folders_of_checkpoints")[modality] if name == "pretrained" else None
    return Case(made, {"path": str(checkpoint)} if checkpoint else KEYWORDS.get(named, {}))


# ---- the contract


@every_encoder
def test_says_what_it_is_and_wants(case):
    encoders.says_what_it_is_and_wants(case)


@every_encoder
def test_gives_tokens_of_its_width(case):
    encoders.gives_tokens_of_its_width(case)


@every_encoder
def test_a_real_token_sees_neither_padding_nor_neighbours(case):
    encoders.a_real_token_sees_neither_padding_nor_neighbours(case)


@every_encoder
def test_an_absent_row_is_masked_and_changes_nothing(case):
    encoders.an_absent_row_is_masked_and_changes_nothing(case)


@every_encoder
def test_a_gradient_reaches_every_parameter_that_asks_for_one(case):
    encoders.a_gradient_reaches_every_parameter_that_asks_for_one(case)


@every_encoder
def test_everything_learnt_is_saved_and_evaluation_is_deterministic(case):
    encoders.everything_learnt_is_saved_and_evaluation_is_deterministic(case)


@every_encoder
def test_bf16_autocast_is_finite(case):
    encoders.bf16_autocast_is_finite(case)


@every_encoder
def test_what_is_hidden_reaches_no_token_and_every_unit_has_its_own(case):
    encoders.what_is_hidden_reaches_no_token_and_every_unit_has_its_own(case)


@every_encoder
def test_features_of_a_cell_are_known_before_training_and_see_neither_padding_nor_neighbours(case):
    encoders.features_are_known_before_training(case)


@pytest.mark.parametrize("named", slow_but(CASES, EXPORTED))
def test_exports_with_any_batch_and_length(case):
    encoders.exports_with_any_batch_and_length(case)
