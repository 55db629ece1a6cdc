"""What every encoder must hold, run over every row of the registry, on fields built by hand."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.layers.features import Bag
from polyfuse.records import Spec, Tokens

ROWS = [(modality, name) for modality, table in registry.ENCODERS.items() for name in table]
KEYWORDS = {  # other parts of some rows
    "text:ngrams:tfidf": {"tfidf": True},
    "columns:mlp:pieces": {"pieces": 4},
    "columns:tabm:pieces": {"pieces": 4},
}
TEXT, GRAMS = 40, 50
CASES = [":".join(row) for row in ROWS] + list(KEYWORDS)
every_encoder = pytest.mark.parametrize("named", CASES)


# ---- one cell of each transform, its facts, and the axes that differ between cells


def ngrams(length, draw):
    ids = torch.randint(1, GRAMS, (length, 1 + length), generator=draw)
    bag = {
        "bag_ids": torch.randint(1, GRAMS, (length + 2,), generator=draw),
        "bag_weights": torch.rand(length + 2, generator=draw),
    }
    return {"ids": ids, "span": spans(length), **bag}


def stretches(length, draw):
    return {"ids": torch.randint(1, GRAMS, (length, 1 + length), generator=draw), "span": spans(length)}


def subwords(length, draw):
    return {"ids": torch.randint(5, TEXT, (length,), generator=draw), "span": spans(length)}


def spans(length):
    return torch.stack([torch.arange(length), torch.arange(length) + 1], -1)


def numbers(length, draw):
    categories = torch.stack([torch.randint(0, size, (), generator=draw) for size in (4, 3)])
    return {"numbers": torch.randn(3, generator=draw), "categories": categories}


CELLS = {
    "text.ngrams": ngrams,
    "text.bpe": subwords,
    "text.tokenizer": subwords,
    "text.stretches": stretches,
    "image.pixels": lambda length, draw: {"pixels": torch.randint(0, 256, (3, 32, 32), generator=draw).byte()},
    "audio.wave": lambda length, draw: {"wave": torch.rand(length * 1600, generator=draw) - 0.5},
    "columns": numbers,
    "vector": lambda length, draw: {"x": torch.randn(5, generator=draw)},
    "sequence": lambda length, draw: {"x": torch.randn(length, 5, generator=draw)},
}
FACTS = {
    "text.ngrams": {"buckets": GRAMS},
    "text.bpe": {"vocabulary": TEXT},
    "text.tokenizer": {},
    "text.stretches": {},
    "image.pixels": {"image_size": (32, 32)},
    "audio.wave": {"rate": 16_000},
    "columns": {
        "numbers": 3,
        "categories": [4, 3],
        "quantiles": [[-2.0, -1.0, 0.0, 1.0, 2.0], [-1.0, -1.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]],
        "frequent": [[2, 3], [2]],
        "owners": [0, 1, 1],
        "flags": 0,
    },
    "vector": {"size": 5},
    "sequence": {"size": 5},
}
TIMED = {"ids", "span", "wave", "bag_ids", "bag_weights"}  # and the ``x`` of a sequence: axis 1 differs between cells
STRETCH = {"audio.wave": 1600}  # entries of axis 1 per unit of length


def fields_of(transform: str, lengths: list[int], extra: int = 0) -> dict[str, Tensor]:
    """Cells of those lengths, padded to the longest and ``extra`` beyond; a cell depends on its place and length."""
    cells = [CELLS[transform](n, torch.Generator().manual_seed(100 * at + n)) for at, n in enumerate(lengths)]
    fields = {key: padded([cell[key] for cell in cells], timed(transform, key) * extra) for key in cells[0]}
    if any(timed(transform, key) for key in fields):
        fields["lengths"] = torch.tensor(lengths) * STRETCH.get(transform, 1)
    return fields


def timed(transform: str, key: str) -> int:
    """Entries of axis 1 of a field per unit of length; 0 where all cells are alike."""
    return STRETCH.get(transform, 1) * (key in TIMED or (transform, key) == ("sequence", "x"))


def padded(cells: list[Tensor], extra: int) -> Tensor:
    shape = [max(cell.shape[axis] for cell in cells) for axis in range(cells[0].ndim)]
    out = cells[0].new_zeros(len(cells), shape[0] + extra, *shape[1:])
    for row, cell in enumerate(cells):
        out[(row, *map(slice, cell.shape))] = cell
    return out


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
def checkpoints(tmp_path_factory):
    """Modality -> folder of a tiny checkpoint."""
    makers = {"text": text_checkpoint, "image": image_checkpoint, "audio": audio_checkpoint}
    folders = {}
    for modality, make in makers.items():
        folders[modality] = tmp_path_factory.mktemp(modality)
        torch.manual_seed(0)
        make(folders[modality])
    return folders


class Case:
    """One encoder under test: its class, keywords, spec, and fields that fit it."""

    def __init__(self, modality: str, name: str, keywords: dict):
        self.made, self.keywords = registry.encoder(modality, name), keywords
        self.spec: Spec = self.made.wants(**keywords)

    def encoder(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return self.made(**FACTS[self.spec.transform], **self.keywords)

    def fields(self, lengths=(5, 2, 3), extra: int = 0) -> dict[str, Tensor]:
        return fields_of(self.spec.transform, list(lengths), extra)

    def dims(self, fields: dict[str, Tensor]) -> dict[str, dict]:
        """The free axes of each field, for export."""
        batch, length = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("length", min=1, max=32)
        stretch = STRETCH.get(self.spec.transform, 1)
        if stretch > 1:
            length = torch.export.Dim("samples", min=stretch // 2, max=32 * stretch)
        dims = {key: {0: batch, 1: length} if timed(self.spec.transform, key) else {0: batch} for key in fields}
        if fields.get("ids", torch.empty(0)).ndim == 3:
            dims["ids"][2] = torch.export.Dim("grams", min=1, max=64)
            bag = torch.export.Dim("bag", min=1, max=64)
            dims |= {key: {0: batch, 1: bag} for key in ("bag_ids", "bag_weights") if key in fields}
        return dims


@pytest.fixture
def case(request, named):
    modality, name = named.split(":")[:2]
    if name in OWN:
        return Case(modality, name, request.getfixturevalue("architectures")[name])
    checkpoint = request.getfixturevalue("checkpoints")[modality] if name == "pretrained" else None
    return Case(modality, name, {"path": str(checkpoint)} if checkpoint else KEYWORDS.get(named, {}))


def fixed(encoder: nn.Module) -> bool:
    """Whether an encoder says that nothing of it is ever trained."""
    return getattr(encoder, "fixed", False)


def everyone(rows: int) -> Tensor:
    return torch.ones(rows, dtype=torch.bool)


def same(one: Tensor, other: Tensor):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


# ---- the contract


@every_encoder
def test_says_what_it_is_and_wants(case):
    wants = inspect.signature(case.made.wants).parameters
    init = {k: p for k, p in inspect.signature(case.made.__init__).parameters.items() if k != "self"}
    facts = FACTS[case.spec.transform]
    assert {k: p.default for k, p in wants.items()} == {k: p.default for k, p in init.items() if k not in facts}
    assert all(p.kind is p.KEYWORD_ONLY for p in [*wants.values(), *init.values()])
    assert set(facts) <= set(init)
    assert len(wants) <= 7
    assert isinstance(case.spec, Spec)
    inspect.signature(registry.transform(case.spec.transform)).bind(**case.spec.keywords)
    assert isinstance(case.made.paper, str)
    assert (case.made.__doc__ or "").partition("\n")[0].strip()


@every_encoder
def test_gives_tokens_of_its_width(case):
    encoder, fields = case.encoder(), case.fields()
    tokens = encoder(fields, everyone(3))
    assert isinstance(tokens, Tokens)
    rows, length, width = tokens.x_BTD.shape
    assert (rows, width) == (3, encoder.width)
    assert length >= 1
    assert tokens.mask_BT.shape == (rows, length)
    assert tokens.mask_BT.dtype is torch.bool
    assert tokens.present_B.all()
    assert tokens.span_BT2 is None or tokens.span_BT2.shape == (rows, length, 2)
    if tokens.grid:
        assert tokens.prefix + math.prod(tokens.grid) == length


@every_encoder
def test_a_real_token_sees_neither_padding_nor_neighbours(case):
    encoder = case.encoder().eval()
    tokens = encoder(case.fields(), everyone(3))
    wider = encoder(case.fields(extra=4), everyone(3))
    same(wider.x_BTD[wider.mask_BT], tokens.x_BTD[tokens.mask_BT])
    assert torch.equal(wider.mask_BT.sum(1), tokens.mask_BT.sum(1))
    for row in range(3):
        alone = encoder({key: value[row:][:1] for key, value in case.fields().items()}, everyone(1))
        same(alone.x_BTD[alone.mask_BT], tokens.x_BTD[row][tokens.mask_BT[row]])


@every_encoder
def test_an_absent_row_is_masked_and_changes_nothing(case):
    encoder, fields = case.encoder().eval(), case.fields()
    whole = encoder(fields, everyone(3))
    tokens = encoder(fields, torch.tensor([True, False, True]))
    assert torch.equal(tokens.present_B, torch.tensor([True, False, True]))
    assert torch.isfinite(tokens.x_BTD).all()
    for row in (0, 2):
        assert torch.equal(tokens.mask_BT[row], whole.mask_BT[row])
        same(tokens.x_BTD[row][tokens.mask_BT[row]], whole.x_BTD[row][whole.mask_BT[row]])
    nobody = encoder(fields, ~everyone(3))
    assert not nobody.mask_BT.any()
    assert torch.isfinite(nobody.x_BTD).all()


@every_encoder
def test_a_gradient_reaches_every_parameter_that_asks_for_one(case):
    encoder = case.encoder().train()
    tokens = encoder(case.fields((5, 4, 3, 5, 6, 2)), everyone(6))
    if fixed(encoder):
        assert not any(p.requires_grad for p in encoder.parameters())
        assert not tokens.x_BTD.requires_grad
        return
    torch.manual_seed(0)
    (tokens.x_BTD * torch.randn_like(tokens.x_BTD))[tokens.mask_BT].sum().backward()
    asking = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert asking
    assert [n for n, p in asking.items() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in asking.values())
    # a shift of all keys changes no softmax
    untrained = [n for n, p in asking.items() if not p.grad.any() and not n.endswith(("key.bias", "k_proj.bias"))]
    assert untrained == []


@every_encoder
def test_everything_learnt_is_saved_and_evaluation_is_deterministic(case):
    encoder, copy = case.encoder().eval(), case.encoder(seed=1).eval()
    copy.load_state_dict(encoder.state_dict())
    tokens = encoder(case.fields(), everyone(3))
    for other in (encoder, copy):
        again = other(case.fields(), everyone(3))
        assert torch.equal(again.x_BTD, tokens.x_BTD)
        assert torch.equal(again.mask_BT, tokens.mask_BT)


@every_encoder
def test_bf16_autocast_is_finite(case):
    encoder = case.encoder().train()
    with torch.autocast("cpu", torch.bfloat16):
        tokens = encoder(case.fields(), torch.tensor([True, False, True]))
    assert torch.isfinite(tokens.x_BTD).all()
    if fixed(encoder):  # nothing to train
        return
    tokens.x_BTD[tokens.mask_BT].float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


@every_encoder
def test_what_is_hidden_reaches_no_token_and_every_unit_has_its_own(case):
    """Of the encoders that can be masked: cells that differ in what is hidden alone give the same tokens."""
    encoder, fields = case.encoder().eval(), case.fields()
    if not hasattr(encoder, "masking"):
        return
    masking = encoder.masking()
    units = masking.units(fields)
    hidden = units.real_UN & (torch.arange(units.real_UN.shape[1]) % 2 == 0)
    one_fill, present = torch.full((masking.fill,), 0.3), everyone(3)
    with torch.no_grad():
        plain = encoder(fields, present)
        one = encoder(masking.hide(fields, hidden, one_fill), present)
        assert not torch.equal(one.x_BTD, plain.x_BTD)
        if masking.along:
            assert one.x_BTD.shape[1] - one.prefix == units.real_UN.shape[1]
        if "wave" not in fields:  # the frames of a sound overlap, and are standardised as one
            others = masking.hide(fields, hidden, one_fill + 0.5)  # what is hidden holds something else
            same(encoder(masking.hide(others, hidden, one_fill), present).x_BTD, one.x_BTD)
        else:
            two = encoder(masking.hide(fields, hidden, one_fill + 0.5), present)
            assert not torch.equal(one.x_BTD, two.x_BTD)


def dense(block: Tensor | Bag) -> Tensor:
    """A block of features as a matrix; what an id weighs twice adds up."""
    if isinstance(block, Tensor):
        return block
    assert block.ids_BK.shape == block.weights_BK.shape
    assert int(block.ids_BK.max()) < block.size
    return torch.zeros(len(block.ids_BK), block.size).scatter_add_(1, block.ids_BK, block.weights_BK)


@every_encoder
def test_features_of_a_cell_are_known_before_training_and_see_neither_padding_nor_neighbours(case):
    encoder = case.encoder().eval()
    if not hasattr(encoder, "features"):
        pytest.skip("it gives no features")
    found = dense(encoder.features(case.fields()))
    assert found.shape[0] == 3
    assert found.is_floating_point()
    assert torch.isfinite(found).all()
    assert not found.requires_grad
    assert torch.equal(dense(case.encoder(seed=1).eval().features(case.fields())), found)
    same(dense(encoder.features(case.fields(extra=4))), found)
    for row in range(3):
        alone = {key: value[row:][:1] for key, value in case.fields().items()}
        same(dense(encoder.features(alone)), found[row:][:1])


class Plain(nn.Module):
    """The tensors of the tokens alone."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(fields, present_B)
        return tokens.x_BTD, tokens.mask_BT


@every_encoder
def test_exports_with_any_batch_and_length(case):
    plain, fields = Plain(case.encoder().eval()), case.fields()
    dims = case.dims(fields)
    batch = dims[next(iter(dims))][0]
    program = torch.export.export(plain, (fields, everyone(3)), dynamic_shapes=(dims, {0: batch})).module()
    for lengths in ((4,), (1, 2), (3, 2, 6, 1, 3, 3, 5)):
        sample = case.fields(lengths), everyone(len(lengths))
        (x_BTD, mask_BT), (expected_BTD, expected_BT) = program(*sample), plain(*sample)
        assert torch.equal(mask_BT, expected_BT)
        same(x_BTD[mask_BT], expected_BTD[mask_BT])
