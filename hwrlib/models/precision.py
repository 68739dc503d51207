"""Which floating-point numbers a device computes fast with."""

import torch


def resolve_precision(precision: str, device: torch.device) -> str:
    """The precision to compute in; "auto" is bf16 (or fp16) if the hardware multiplies it fast, else fp32."""
    if precision != "auto":
        return precision
    return "bf16" if has_fast_bf16(device) else "fp16" if device.type == "cuda" else "fp32"


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 fast."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
