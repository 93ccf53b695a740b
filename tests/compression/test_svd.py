import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from energybench.compression.rank_budget import Budget, Spectrum
from energybench.compression.svd import ROWS, factorize, relative_error, split


def decaying(rows: int, columns: int, power: float = 1.0) -> Tensor:
    """A matrix whose k-th singular value is k^-power, like that of trained layers."""
    generator = torch.Generator().manual_seed(rows)
    size = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, size, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, size, generator=generator))[0]
    spectrum: Tensor = torch.arange(1, size + 1).pow(-power)
    matrix: Tensor = left * spectrum @ right.T
    return matrix


SHAPES = [(40, 60), (60, 40), (150, 400), (400, 150), (200, 200)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_error_is_the_optimal_one(shape: tuple[int, int], share: float, power: float) -> None:
    matrices = torch.stack([decaying(*shape, power), 3 * decaying(*shape, power / 2)])
    rank = max(1, int(share * min(shape)))
    up, down = split(matrices, factorize(matrices, keep=rank).basis)
    assert (up.shape, down.shape) == ((2, shape[0], rank), (2, rank, shape[1]))
    values = torch.linalg.svdvals(matrices.double())
    errors = (matrices.double() - up.double() @ down.double()).norm(dim=(1, 2))
    assert errors.tolist() == pytest.approx(values[:, rank:].norm(dim=1).tolist(), rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_energies_are_the_squared_singular_values(shape: tuple[int, int], power: float) -> None:
    matrices = torch.stack([decaying(*shape, power), decaying(*shape)])
    energies = factorize(matrices, keep=1).energies
    exact = torch.linalg.svdvals(matrices.double()).square().sum(0)
    assert energies.dtype == torch.float64
    assert torch.allclose(energies, exact, rtol=1e-3, atol=1e-6 * float(exact[0]))


def test_factors_are_balanced() -> None:
    matrices = decaying(150, 400)[None]
    up, down = split(matrices, factorize(matrices, keep=30).basis)
    assert torch.allclose(up.norm(dim=1), down.norm(dim=2), rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_errors_are_measured_however_small(size: float, dtype: torch.dtype) -> None:
    """Also under 1e-3, where the Gram matrix in float32 knows nothing of singular values."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(2, ROWS + 9, 3, generator=generator, dtype=dtype)
    right = torch.randn(2, 3, 700, generator=generator, dtype=dtype)
    product = left @ right
    change = torch.randn(product.shape, generator=generator, dtype=dtype)
    matrices = product + size * change
    exact = (size * change).double().norm() / matrices.double().norm()
    assert relative_error(matrices, left, right) == pytest.approx(
        float(exact), rel=0.1 * 1e-6 / size + 1e-3
    )


def test_a_matrix_of_zeros() -> None:
    matrices = torch.zeros(1, 6, 9)
    factorization = factorize(matrices, keep=2)
    up, down = split(matrices, factorization.basis)
    assert not (up @ down).any()
    assert float(Spectrum(factorization.energies, 54, 15).lost()[2]) == 0.0
    assert relative_error(matrices, up, down) == 0.0


@st.composite
def spectra(draw: st.DrawFn) -> list[Spectrum]:
    result = []
    for _ in range(draw(st.integers(1, 5))):
        rows, columns = draw(st.integers(3, 40)), draw(st.integers(3, 90))
        power = draw(st.sampled_from([0.0, 0.3, 1.0, 3.0]))
        energies = torch.arange(1, min(rows, columns) + 1).double().pow(-2 * power)
        result.append(Spectrum(energies, rows * columns, rows + columns))
    return [spectrum for spectrum in result if spectrum.most]


def lost(spectra: list[Spectrum], ranks: dict[int, int]) -> float:
    return sum(float(spectra[index].lost()[rank]) for index, rank in ranks.items())


def saved(spectra: list[Spectrum], ranks: dict[int, int]) -> int:
    return sum(spectra[index].saved(rank) for index, rank in ranks.items())


@given(spectra=spectra(), data=st.data())
def test_ranks_are_nested_and_meet_the_budget(spectra: list[Spectrum], data: st.DataObject) -> None:
    if not spectra:
        assert Budget(spectra).largest == 0
        return
    budget = Budget(spectra)
    assert budget.largest == saved(spectra, dict.fromkeys(range(len(spectra)), 1))
    wanted = sorted(data.draw(st.lists(st.integers(1, budget.largest), min_size=1, max_size=9)))
    before: dict[int, int] = {}
    for save in [*wanted, budget.largest]:
        ranks = budget.ranks(save)
        assert saved(spectra, ranks) >= save
        assert all(1 <= rank <= spectra[index].most for index, rank in ranks.items())
        assert all(ranks[index] <= rank for index, rank in before.items())
        before = ranks


@given(spectra=spectra(), data=st.data())
def test_no_exchange_of_ranks_loses_less(spectra: list[Spectrum], data: st.DataObject) -> None:
    """At the budgets where a step ends, no other ranks save as much and lose less."""
    if not spectra or len(spectra) > 3:
        return
    budget = Budget(spectra)
    save = data.draw(st.sampled_from(budget.step_ends()))
    ours = budget.ranks(save)
    for index, spectrum in enumerate(spectra):
        for other in range(len(spectra)):
            for rank in range(1, spectrum.most + 1):
                if other == index:
                    continue
                theirs = {**ours, index: rank}
                short = saved(spectra, ours) - saved(spectra, theirs)
                rest = spectra[other]
                now = rest.saved(ours[other]) if other in ours else 0
                needed = rest.dense - (now + short)
                theirs[other] = min(needed // rest.per_rank, rest.most)
                if theirs[other] < 1 or saved(spectra, theirs) < saved(spectra, ours):
                    continue
                assert lost(spectra, theirs) >= lost(spectra, ours) - 1e-9


def test_a_layer_that_loses_nothing_goes_first() -> None:
    flat = Spectrum(torch.ones(20, dtype=torch.float64), 400, 40)
    thin = Spectrum(torch.tensor([1.0] + [0.0] * 19, dtype=torch.float64), 400, 40)
    assert Budget([flat, thin]).ranks(300) == {1: 2}
    assert Budget([flat, thin]).ranks(360) == {1: 1}
    assert set(Budget([flat, thin]).ranks(361)) == {0, 1}
