"""Backbones of audio checkpoints by the input they take: a waveform, Whisper's spectrogram, or AST's filter banks.

Each is a module from samples to tokens that padding does not change, though the checkpoints' own code mixes padding in:
group-norm wav2vec 2.0 (Baevski et al., NeurIPS 2020) and HuBERT (Hsu et al., TASLP 2021) normalise over it, and
Whisper (Radford et al., ICML 2023) reads 30 seconds whatever the clip. AST: Gong et al., Interspeech 2021.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.encoders.audio.frontend import spans
from polyfuse.layers.mel import KaldiMel, WhisperMel
from polyfuse.layers.norm import MaskedGroupNorm
from polyfuse.layers.positions import length_mask
from polyfuse.records import Tokens

AT_ONCE = 4  # windows of 30 seconds


class Waveform(nn.Module):
    """wav2vec 2.0, HuBERT, WavLM and their relatives: convolutions over samples, then a transformer.

    Args:
        extractor: the checkpoint's ``preprocessor_config.json``.
    """

    def __init__(self, model: Any, extractor: dict[str, Any]):
        super().__init__()
        self.rate, self.normalise = extractor["sampling_rate"], extractor["do_normalize"]
        front, name = self._front(model)
        # the checkpoint's forward then begins with what these layers give, and does the rest as ever
        self.layers = getattr(front, name).conv_layers
        setattr(front, name, nn.Identity())
        self.model: Any = model
        self.counted = front._get_feat_extract_output_lengths
        self.shortest, self.step = 1, 1
        for layer in reversed(self.layers):
            (size,), (stride,) = layer.conv.kernel_size, layer.conv.stride
            self.shortest, self.step = (self.shortest - 1) * stride + size, self.step * stride
            if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                layer.layer_norm = _masked(layer.layer_norm)

    @staticmethod
    def _front(model: Any) -> tuple[Any, str]:
        """Where the convolutions are, and what they are called."""
        return model, "feature_extractor"

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> Tokens:
        """Shapes: (U, S), (U,) -> tokens (U, T, D); a sound shorter than one token is extended by silence."""
        wave_US = F.pad(wave_US * length_mask(lengths_U, wave_US.shape[1]), (0, self.shortest + self.step))
        real_U = lengths_U.clamp_min(self.shortest)
        real_US = length_mask(real_U, wave_US.shape[1])
        features_UDT = self._convolved(self._normalised(wave_US, lengths_U), real_U)
        x_UTD = self.model(input_values=features_UDT, attention_mask=real_US.long()).last_hidden_state
        mask_UT = length_mask(self.counted(real_U), x_UTD.shape[1])
        span_UT2 = spans(lengths_U, x_UTD.shape[1], rate=self.rate, step=self.step / self.rate)
        return Tokens(x_UTD, mask_UT, grid=(x_UTD.shape[1],), span_BT2=span_UT2)

    def _normalised(self, wave_US: Tensor, lengths_U: Tensor) -> Tensor:
        """Mean 0 and deviation 1 over the real samples, where the checkpoint was trained so."""
        if not self.normalise:
            return wave_US
        count_U1, real_US = lengths_U.clamp_min(1)[:, None], length_mask(lengths_U, wave_US.shape[1])
        wave_US = (wave_US - wave_US.sum(1, keepdim=True) / count_U1) * real_US
        return wave_US * (wave_US.square().sum(1, keepdim=True) / count_U1 + 1e-7).rsqrt()

    def _convolved(self, wave_US: Tensor, lengths_U: Tensor) -> Tensor:
        x_UDT = wave_US[:, None]
        for layer in self.layers:
            (size,), (stride,) = layer.conv.kernel_size, layer.conv.stride
            lengths_U = (lengths_U - size) // stride + 1
            if isinstance(getattr(layer, "layer_norm", None), MaskedGroupNorm):
                x_UT1D = layer.conv(x_UDT).mT[:, :, None]
                normed_UT1D = layer.layer_norm(x_UT1D, length_mask(lengths_U, x_UT1D.shape[1]))
                x_UDT = layer.activation(normed_UT1D[:, :, 0].mT)
            else:
                x_UDT = layer(x_UDT)
        return x_UDT


class SpeechT5(Waveform):
    """SpeechT5 for recognition: as wav2vec 2.0, but what its positions are made of would mix padding in."""

    def __init__(self, model: Any, extractor: dict[str, Any]):
        super().__init__(model, extractor)
        model.prenet.pos_conv_embed = self.places = _Silent(model.prenet.pos_conv_embed)

    @staticmethod
    def _front(model: Any) -> tuple[Any, str]:
        return model.prenet, "feature_encoder"

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> Tokens:
        """See ``Waveform``."""
        self.places.count_U = self.counted(lengths_U.clamp_min(self.shortest))
        return super().forward(wave_US, lengths_U)


class _Silent(nn.Module):
    """A layer along time to which padding is silent, as it is where nothing is padded."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.count_U: Tensor | None = None

    def forward(self, x_UTD: Tensor) -> Tensor:
        assert self.count_U is not None
        return self.layer(x_UTD * length_mask(self.count_U, x_UTD.shape[1])[..., None])


def _masked(norm: nn.GroupNorm) -> MaskedGroupNorm:
    """The same normalisation over real frames only."""
    masked = MaskedGroupNorm(norm.num_channels, size=norm.num_channels // norm.num_groups)
    masked.weight, masked.bias = norm.weight, norm.bias
    return masked


class Whisper(nn.Module):
    """The encoder of Whisper on what was recorded, instead of on 30 seconds of mostly silence.

    Args:
        whole: on 30 seconds all the same, as it was trained; every token is real then.
    """

    def __init__(self, model: Any, extractor: dict[str, Any], *, whole: bool = False):
        super().__init__()
        self.whole = whole
        self.model: Any = model
        names = {"bins": "feature_size", "rate": "sampling_rate", "fft": "n_fft", "hop": "hop_length"}
        self.mel = WhisperMel(seconds=extractor["chunk_length"], **{k: extractor[name] for k, name in names.items()})
        self.rate = extractor["sampling_rate"]
        self.step = 2 * self.mel.hop / self.rate

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> Tokens:
        """Shapes: (U, S), (U,) -> tokens (U, T, D); of whole windows a few at a time, which memory has room for."""
        if not self.whole or torch.is_grad_enabled() or len(wave_US) <= AT_ONCE:
            return self._read(wave_US, lengths_U)
        found = [self._read(*some) for some in zip(wave_US.split(AT_ONCE), lengths_U.split(AT_ONCE), strict=True)]
        joined: dict[str, Any] = {
            n: torch.cat([getattr(t, n) for t in found]) for n in ("x_BTD", "mask_BT", "span_BT2")
        }
        return replace(found[0], **joined)

    def _read(self, wave_US: Tensor, lengths_U: Tensor) -> Tokens:
        from transformers.masking_utils import create_bidirectional_mask

        if self.whole:
            wave_US = F.pad(wave_US, (0, self.mel.samples - wave_US.shape[1]))
        mel_UNF, mask_UN = self.mel(wave_US, lengths_U)
        if self.whole:
            mel_UNF = mel_UNF[:, : self.mel.samples // self.mel.hop]
            mask_UN = mask_UN.new_ones(mel_UNF.shape[:2])
        x_UDN = F.gelu(self.model.conv1(mel_UNF.mT))
        x_UTD = F.gelu(self.model.conv2(x_UDN)).mT.contiguous()
        place_T = torch.arange(x_UTD.shape[1], device=x_UTD.device).clamp_max(self.model.max_source_positions - 1)
        x_UTD = x_UTD + self.model.embed_positions(place_T)
        mask_UT = length_mask((mask_UN.sum(1) + 1) // 2, x_UTD.shape[1])
        seen = create_bidirectional_mask(config=self.model.config, inputs_embeds=x_UTD, attention_mask=mask_UT)
        for layer in self.model.layers:
            x_UTD = layer(x_UTD, seen)
        span_UT2 = spans(lengths_U, x_UTD.shape[1], rate=self.rate, step=self.step)
        return Tokens(self.model.layer_norm(x_UTD), mask_UT, grid=(x_UTD.shape[1],), span_BT2=span_UT2)


class Spectrogram(nn.Module):
    """AST: squares of a spectrogram of fixed length; behind the sound's end it sees what it was trained to see."""

    PREFIX = 2  # class and distillation token

    def __init__(self, model: Any, extractor: dict[str, Any]):
        super().__init__()
        self.model: Any = model
        self.rate, self.frames = extractor["sampling_rate"], extractor["max_length"]
        self.mel = KaldiMel(bins=extractor["num_mel_bins"], rate=self.rate)
        self.mean: float = extractor["mean"] if extractor["do_normalize"] else 0.0
        self.scale: float = 0.5 / extractor["std"] if extractor["do_normalize"] else 1.0

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> Tokens:
        """Shapes: (U, S), (U,) -> class and distillation token, then patches, times before frequencies (U, T, D)."""
        mel_UNF, real_UN = self.mel(wave_US, lengths_U)
        mel_UNF = F.pad(mel_UNF, (0, 0, 0, self.frames - mel_UNF.shape[1]))
        x_UTD = self.model((mel_UNF - self.mean) * self.scale).last_hidden_state
        bands, times = self.model.embeddings.get_shape(self.model.config)
        patches_UTD = x_UTD[:, self.PREFIX :].unflatten(1, (bands, times)).transpose(1, 2).flatten(1, 2)
        step, width = self.model.config.time_stride, self.model.config.patch_size
        mask_UN = torch.arange(times, device=wave_US.device) * step < real_UN.sum(1, keepdim=True)
        mask_UT = F.pad(mask_UN.repeat_interleave(bands, 1), (self.PREFIX, 0), value=True)
        frame = self.mel.hop / self.rate
        span_UN2 = spans(lengths_U, times, rate=self.rate, step=step * frame, width=width * frame)
        whole_U12 = F.pad(lengths_U[:, None, None] / self.rate, (1, 0))
        span_UT2 = torch.cat([whole_U12.expand(-1, self.PREFIX, -1), span_UN2.repeat_interleave(bands, 1)], 1)
        x_UTD = torch.cat([x_UTD[:, : self.PREFIX], patches_UTD], 1)
        return Tokens(x_UTD, mask_UT, (times, bands), self.PREFIX, span_UT2)
