"""Decoders of Hugging Face encoder-decoder checkpoints, one adapter per family of models.

One file knows what the kinds do differently; whoever writes with them asks for logits alone.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from polyfuse.encoders.checkpoint import load_config, load_seq2seq, silence_transformers, tokenizer_of
from polyfuse.heads.text.decode import NEVER

USUAL = 256  # units of a text where a checkpoint does not say how many it writes at most


class Seq2Seq(nn.Module):
    """Encoder-decoders of one piece: Whisper, SpeechT5, T5, BART and their relatives.

    Args:
        model: the whole checkpoint; its encoder is taken out, as what it would read is read elsewhere.
    """

    any_length = True  # whether it reads other tokens than those of its own encoder, some of them masked
    apart = True  # whether keys and values of what was read are kept apart from those of the text

    def __init__(self, model: Any):
        super().__init__()
        self.model: Any = _without(model, model.get_encoder())
        self.width: int = model.config.hidden_size
        # in a tuple, as it is a module of the model already
        self.masked = (_CrossMasked.around(model),) if model.config.model_type == "whisper" else ()

    def forward(self, ids_NT: Tensor, x_NSH: Tensor, mask_NS: Tensor, kept: Any = None) -> Tensor:
        """Ids (N, T) behind those that ``kept`` has seen, and what was read -> logits (N, T, V)."""
        from transformers.modeling_outputs import BaseModelOutput

        for layer in self.masked:
            layer.mask_NS = mask_NS
        given = {"decoder_input_ids": ids_NT, "encoder_outputs": BaseModelOutput(last_hidden_state=x_NSH)}
        return self.model(**given, attention_mask=mask_NS.long(), **_keeping(self.model, kept)).logits


class Crossing(nn.Module):
    """Decoders that stand alone and look at states of an encoder: VisionEncoderDecoder, SpeechEncoderDecoder, BLIP.

    Args:
        model: the whole checkpoint, of which the decoder is kept.
    """

    any_length = apart = True

    def __init__(self, model: Any):
        super().__init__()
        blip = hasattr(model, "text_decoder")
        self.model: Any = model.text_decoder if blip else model.decoder
        # as the whole model does where encoder and decoder have different widths
        self.project: nn.Module = nn.Identity() if blip else getattr(model, "enc_to_dec_proj", nn.Identity())
        self.width: int = model.config.vision_config.hidden_size if blip else model.encoder.config.hidden_size

    def forward(self, ids_NT: Tensor, x_NSH: Tensor, mask_NS: Tensor, kept: Any = None) -> Tensor:
        """See ``Seq2Seq``."""
        states_NSH = x_NSH if _begun(kept) else self.project(x_NSH)  # kept by every layer, once the text is begun
        read = {"encoder_hidden_states": states_NSH, "encoder_attention_mask": mask_NS.long()}
        return self.model(input_ids=ids_NT, **read, **_keeping(self.model, kept)).logits


class Blip(Crossing):
    """BLIP, which looks at every token that it is given: transformers 5.24 loses its mask on the way."""

    any_length = False


class Prefixed(nn.Module):
    """GIT: the tokens of a picture stand in front of the text, and see each other.

    Args:
        model: the whole checkpoint; its encoder is taken out.
    """

    any_length = apart = False

    def __init__(self, model: Any):
        super().__init__()
        self.width: int = model.config.vision_config.hidden_size
        model.git.image_encoder = _Given()
        self.model: Any = model

    def forward(self, ids_NT: Tensor, x_NSH: Tensor, mask_NS: Tensor, kept: Any = None) -> Tensor:  # noqa: ARG002
        """See ``Seq2Seq``; tokens of its own encoder are all there, or all missing."""
        picture = {} if _begun(kept) else {"pixel_values": x_NSH[:, None]}
        begun = kept.get_seq_length() - x_NSH.shape[1] if _begun(kept) else 0  # places are counted without the picture
        place_NT = (begun + torch.arange(ids_NT.shape[1], device=ids_NT.device)).expand(ids_NT.shape)
        given = {"input_ids": ids_NT, "position_ids": place_NT, **picture}
        logits_NXV = self.model(**given, **_keeping(self.model, kept)).logits
        return logits_NXV[:, -ids_NT.shape[1] :]


class _Given(nn.Module):
    """In place of an encoder of pictures: what it would give is given."""

    def forward(self, pixel_values: Tensor, **_: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=pixel_values[:, 0])


class _CrossMasked(nn.Module):
    """A layer of Whisper's decoder that does not look where nothing was read; its own code looks everywhere."""

    def __init__(self, layer: Any, shared: _CrossMasked | None):
        super().__init__()
        self.layer = layer
        self.shared = (shared,) if shared is not None else ()  # a tuple: no module of this one
        self.mask_NS: Tensor | None = None

    @classmethod
    def around(cls, model: Any) -> _CrossMasked:
        """Around every layer; the first one's mask is that of all."""
        layers, first = model.get_decoder().layers, None
        for at, layer in enumerate(layers):
            layers[at] = cls(layer, first)
            first = first or layers[at]
        return first  # type: ignore[return-value]

    def forward(self, x_NTH: Tensor, *given: Any, **named: Any) -> Any:
        mask_NS = (self.shared[0] if self.shared else self).mask_NS
        assert mask_NS is not None
        if not mask_NS.all():
            hidden_N11S = torch.zeros_like(mask_NS, dtype=x_NTH.dtype).masked_fill(~mask_NS, NEVER)[:, None, None]
            named["encoder_attention_mask"] = hidden_N11S.expand(-1, -1, x_NTH.shape[1], -1)
        return self.layer(x_NTH, *given, **named)


def _without(model: Any, encoder: nn.Module) -> Any:
    """The model with nothing in the place of its encoder."""
    for parent in model.modules():
        for name, child in list(parent.named_children()):
            if child is encoder:
                setattr(parent, name, nn.Identity())
    return model


def _begun(kept: Any) -> bool:
    return kept is not None and kept.get_seq_length() > 0


def _keeping(model: nn.Module, kept: Any) -> dict[str, Any]:
    """The keywords by which a model goes on from what it kept; their name changed in transformers 5.2x."""
    if kept is None:
        return {"use_cache": False}
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return {"use_cache": True, name: kept}


KINDS: dict[str, tuple[str, Any]] = {  # model_type -> what its encoder reads, and how it is asked
    "whisper": ("audio", Seq2Seq),
    "speecht5": ("audio", Seq2Seq),
    "speech-encoder-decoder": ("audio", Crossing),
    "vision-encoder-decoder": ("image", Crossing),
    "blip": ("image", Blip),
    "git": ("image", Prefixed),
    "t5": ("text", Seq2Seq),
    "mt5": ("text", Seq2Seq),
    "bart": ("text", Seq2Seq),
    "mbart": ("text", Seq2Seq),
    "pegasus": ("text", Seq2Seq),
}


def kind_of(folder: Path) -> tuple[str, Any]:
    """What the encoder of a checkpoint reads, and how its decoder is asked.

    Raises:
        ValueError: it is of no kind that writes about what an encoder read.
    """
    kind = load_config(folder).model_type
    if kind not in KINDS:
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

        alone = type(load_config(folder)) in MODEL_FOR_CAUSAL_LM_MAPPING
        hint = "it is a language model without an encoder, which the decoder lm writes with" if alone else ""
        raise ValueError(
            f"{folder.name} is a {kind} model, which the decoder pretrained does not know"
            f"{f' ({hint})' if hint else ''}; known: {', '.join(KINDS)}"
        )
    return KINDS[kind]


def load_decoder(folder: Path, weights: str) -> Any:
    """A checkpoint's decoder, to be asked for logits."""
    return kind_of(folder)[1](load_seq2seq(folder, weights))


@dataclass(frozen=True)
class Opening:
    """How a checkpoint begins and ends a text.

    Args:
        ids: that stand before it.
        end: the id behind it.
        never, never_first: ids that it does not write, or not as the first.
        most: units that it writes of itself.
        room: units that it has positions for.
        lead: what it was taught to write before a text, such as a blank.
    """

    ids: tuple[int, ...]
    end: int
    never: tuple[int, ...] = ()
    never_first: tuple[int, ...] = ()
    most: int = USUAL
    room: int = 10**6
    lead: str = ""


def load_opening(folder: Path, prompt: str = "") -> Opening:
    """As its own configuration says.

    Args:
        prompt: what is to stand before every text, in the checkpoint's own words and signs.

    Raises:
        ValueError: nothing says how a text begins or ends, or a Whisper of many languages is told none.
    """
    from transformers import GenerationConfig

    config = load_config(folder)
    own = config.get_text_config(decoder=True)
    with silence_transformers():
        stated = (folder / "generation_config.json").is_file()
        how = GenerationConfig.from_pretrained(folder) if stated else GenerationConfig.from_model_config(config)
    begin, end = _begin_and_end(config, own, how)
    if begin is None or end is None:
        what = "begins" if begin is None else "ends"
        raise ValueError(f"{folder.name}: its configuration names no single token that {what} a text")
    forced = _first(getattr(how, "forced_bos_token_id", None) or getattr(config, "forced_bos_token_id", None))
    ids = (begin, *(() if forced is None else (forced,)), *_prompt_ids(folder, config, how, prompt))
    positions = ("max_target_positions", "max_text_positions", "max_position_embeddings", "n_positions")
    room = next((int(n) for name in positions if (n := getattr(own, name, None))), 10**6)
    if config.model_type in ("t5", "mt5"):
        room = 10**6  # places are told by their distance
    room -= len(ids)
    if room < 1:
        raise ValueError(f"prompt: it takes all {room + len(ids)} positions that {folder.name} has for a text")
    counted = 0 if config.model_type == "whisper" else len(ids)  # whose own writing does not count its beginning
    wanted = how.max_new_tokens or (how.max_length - counted if how.max_length else USUAL)
    return Opening(
        ids,
        end,
        tuple(how.suppress_tokens or ()),
        tuple(how.begin_suppress_tokens or ()),
        max(1, min(wanted, room)),
        room,
        " " if config.model_type == "whisper" else "",
    )


def _begin_and_end(config: Any, own: Any, how: Any) -> tuple[int | None, int | None]:
    """What begins and ends a text."""
    if config.model_type == "blip":
        return own.bos_token_id, own.sep_token_id
    if config.model_type == "git":
        return own.bos_token_id, _first(own.eos_token_id)
    candidates = (how.decoder_start_token_id, getattr(config, "decoder_start_token_id", None), own.bos_token_id)
    begin = next((_first(at) for at in candidates if at is not None), None)
    ends = (how.eos_token_id, getattr(config, "eos_token_id", None), own.eos_token_id)
    return begin, next((_first(at) for at in ends if at is not None), None)


def _first(token: Any) -> int | None:
    """A token, or the only one of a list."""
    if isinstance(token, (list, tuple)):
        return int(token[0]) if len(token) == 1 else None
    return None if token is None else int(token)


def _prompt_ids(folder: Path, config: Any, how: Any, prompt: str) -> list[int]:
    """Ids that stand behind the first: the prompt, and what Whisper is told of language, task and times."""
    tokenizer = Tokenizer.from_file(str(tokenizer_of(folder)))
    said = tokenizer.encode(prompt, add_special_tokens=False).ids if prompt else []
    if config.model_type != "whisper":
        return said
    languages = getattr(how, "lang_to_id", None) or {}
    if not said and languages:
        code = getattr(how, "language", None)
        sign = code if code in languages else f"<|{code}|>"
        if sign not in languages:
            raise ValueError(
                f"{folder.name} knows {len(languages)} languages and is told none; set prompt to the signs of one and "
                "of the task, such as '<|en|><|transcribe|>'"
            )
        tasks = how.task_to_id
        said = [languages[sign], tasks[getattr(how, "task", None) or "transcribe"]]
    elif not said and not hasattr(how, "no_timestamps_token_id"):
        said = [at for _, at in getattr(how, "forced_decoder_ids", None) or () if at is not None]
    times = getattr(how, "no_timestamps_token_id", None)
    return said + ([times] if times is not None and times not in said else [])
