"""hwrlib.models.precision: which numbers a device computes with."""

import torch

from hwrlib.models.precision import resolve_precision


def test_precision_names(monkeypatch):
    assert [resolve_precision(name, torch.device("cpu")) for name in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]
    for fast, device, expected in ((True, "cpu", "bf16"), (False, "cpu", "fp32"), (False, "cuda", "fp16")):
        monkeypatch.setattr("hwrlib.models.precision.has_fast_bf16", lambda device, fast=fast: fast)
        assert resolve_precision("auto", torch.device(device)) == expected
