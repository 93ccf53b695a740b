"""Truncated SVD of matrices: factorize once, truncate at any rank.

The projection of W on its r leading singular vectors is the matrix of rank r nearest to W in the
Frobenius norm (C. Eckart, G. Young, 1936).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SVD_ROWS = 128
"""Up to this many rows an SVD takes under 30 ms; beyond, the Gram matrix is ten times faster."""

ROWS = 512
"""Rows that are multiplied at a time to measure an error."""


@dataclass(frozen=True)
class Factorization:
    """The leading singular vectors of matrices (g, m, n), on their shorter side."""

    basis: Tensor
    """(g, min(m, n), kept), orthonormal columns, largest singular value first."""
    energies: Tensor
    """(min(m, n),) float64 squared singular values, descending, summed over the g matrices."""


def factorize(matrices: Tensor, keep: int) -> Factorization:
    """Factorize `matrices` (g, m, n), float32 or float64, and keep their `keep` leading vectors.

    For large matrices W, the left singular vectors are computed as the eigenvectors of W W^T. In
    float32 this blurs singular values below about 1e-3 of the largest, which hold a millionth of
    its energy each. `split` projects W itself on the vectors, so the blur can change which of these
    directions are dropped, but not the values along the directions kept.
    """
    if matrices.shape[1] > matrices.shape[2]:
        matrices = matrices.mT
    if matrices.shape[1] <= SVD_ROWS:
        vectors, values, _ = torch.linalg.svd(matrices, full_matrices=False)
        energies = values.double().square()
    else:
        ascending, vectors = torch.linalg.eigh(matrices @ matrices.mT)
        vectors, energies = vectors.flip(2), ascending.flip(1).double().clamp_min(0.0)
    return Factorization(vectors[..., :keep].clone(), energies.sum(0).cpu())


def split(matrices: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors (g, m, r) and (g, r, n) of `matrices` (g, m, n) projected on `basis`.

    `basis` is (g, min(m, n), r). Each factor has the square root of each singular value. Of all
    pairs with this product this one has the least norm, so weight decay does not unbalance it, and
    the gradients of both factors have similar sizes.
    """
    if matrices.shape[1] > matrices.shape[2]:
        right, left = split(matrices.mT, basis)
        return left.mT, right.mT
    down = basis.mT @ matrices
    root = down.norm(dim=2).sqrt()
    root[root == 0.0] = 1.0
    return basis * root[:, None, :], down.div_(root[:, :, None])


def relative_error(matrices: Tensor, left: Tensor, right: Tensor) -> float:
    """Return the Frobenius norm of `matrices` - `left` @ `right` over that of `matrices`.

    The shapes are (g, m, n), (g, m, r) and (g, r, n), all float32 or all float64. The result is 0
    for matrices of zeros. Memory holds `ROWS` rows of the product at a time.
    """
    parts = zip(matrices.split(ROWS, dim=1), left.split(ROWS, dim=1), strict=True)
    missed = math.hypot(*(_norm(rows - some @ right) for rows, some in parts))
    whole = _norm(matrices)
    return missed / whole if whole else 0.0


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
