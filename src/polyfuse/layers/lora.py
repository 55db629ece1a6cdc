"""Low-rank adapters on every linear layer of a module. Hu et al., LoRA, ICLR 2022."""

from __future__ import annotations

from torch import nn

from polyfuse.errors import extra


def inject(module: nn.Module, rank: int = 8) -> None:
    """Freeze a module and add trainable adapters of that rank to its linear layers, in place.

    Raises:
        ImportError: peft is not installed; says how to install it.
        ValueError: the module has no trainable linear layer.
    """
    with extra("lora"):
        from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    used = [name for name in linear if any(p.requires_grad for p in module.get_submodule(name).parameters())]
    if not used:
        raise ValueError("transfer: lora adapts linear layers, and this encoder has none; use full, staged or frozen")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=used)
    inject_adapter_in_model(config, module)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_("lora_" in name)
