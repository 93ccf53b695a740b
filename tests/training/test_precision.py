import pytest
import torch

from energybench.errors import UsageError
from energybench.training.precision import arithmetic, check_precision

CPU = torch.device("cpu")


def test_tf32_needs_a_gpu_that_has_it() -> None:
    check_precision("fp32", CPU)
    check_precision("bf16", CPU)
    with pytest.raises(UsageError, match="Ampere"):
        check_precision("tf32", CPU)


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
