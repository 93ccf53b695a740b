from types import SimpleNamespace

import pytest
import torch

from energybench.errors import UsageError
from energybench.training.precision import arithmetic, check_precision, native

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)


def cpu_with(monkeypatch: pytest.MonkeyPatch, *instructions: str) -> None:
    found = {"avx512_f": True, "amx_bf16": False, **dict.fromkeys(instructions, True)}
    fake = SimpleNamespace(get_capabilities=lambda: found)
    monkeypatch.setattr("torch.cpu", fake)


def test_tf32_needs_a_gpu_that_has_it() -> None:
    check_precision("fp32", CPU)
    with pytest.raises(UsageError, match=r"\A[^\n]*Ampere[^\n]*use precision fp32 or bf16"):
        check_precision("tf32", CPU)


def test_fp32_is_native_everywhere() -> None:
    assert native("fp32", CPU) is None
    assert native("fp32", GPU) is None


def test_an_unknown_precision_is_an_error() -> None:
    with pytest.raises(ValueError, match="fp8"):
        native("fp8", CPU)


@pytest.mark.parametrize("instruction", ["amx_bf16", "avx512_bf16", "sve_bf16", "bf16"])
def test_bf16_is_native_on_a_cpu_that_has_its_instructions(
    instruction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_with(monkeypatch, instruction)
    assert native("bf16", CPU) is None


def test_bf16_may_be_asked_for_on_any_cpu_but_is_not_native(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu_with(monkeypatch)
    reason = native("bf16", CPU)
    assert reason is not None
    assert "no bfloat16 instructions" in reason
    assert "\n" not in reason
    check_precision("bf16", CPU)


def test_bf16_is_not_native_without_what_executes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_with(monkeypatch, "amx_bf16")
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    assert "oneDNN" in (native("bf16", CPU) or "")


def test_a_pytorch_that_cannot_tell_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu", SimpleNamespace())
    assert "cannot tell" in (native("bf16", CPU) or "")


def test_this_cpu_is_known() -> None:
    """PyTorch's own answer, by its real function."""
    capabilities = torch.cpu.get_capabilities()
    known = [capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")]
    assert (native("bf16", CPU) is None) == any(known)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize(
    ("capability", "has_it"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_gpus_since_ampere_have_both(
    precision: str, capability: tuple[int, int], has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    reason = native(precision, GPU)
    assert (reason is None) == has_it
    if has_it:
        check_precision(precision, GPU)
    else:
        with pytest.raises(UsageError, match=r"\A[^\n]*Ampere[^\n]*use precision fp32"):
            check_precision(precision, GPU)


def test_fp32_turns_tf32_off_and_restores_it() -> None:
    torch.backends.cudnn.allow_tf32 = True
    with arithmetic("fp32", CPU):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
    assert torch.backends.cudnn.allow_tf32


def test_bf16_sees_each_step_of_the_weights() -> None:
    layer = torch.nn.Linear(2, 2, bias=False)
    with arithmetic("bf16", CPU):
        before = layer(torch.ones(1, 2))
        with torch.no_grad():
            layer.weight.add_(1.0)
        assert not torch.equal(layer(torch.ones(1, 2)), before)


def test_bf16_computes_in_bfloat16() -> None:
    with arithmetic("bf16", CPU):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
