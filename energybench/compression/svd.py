"""Truncated SVD of a matrix, factorized once and cut at any rank.

No matrix of rank r is nearer to W, in the Frobenius norm, than W's projection on its r leading
singular vectors (C. Eckart, G. Young, 1936).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SVD_ROWS = 128
"""Up to this many rows an SVD takes under 30 ms; beyond, the Gram matrix is ten times faster."""


@dataclass(frozen=True)
class Factorization:
    """The leading singular vectors of a matrix (m, n) on its shorter side, and what each holds."""

    basis: Tensor
    """(min(m, n), kept), orthonormal columns, largest singular value first."""
    energies: Tensor
    """(min(m, n),) float64 squared singular values, descending."""

    def rank_retaining(self, energy: float) -> int:
        """The smallest rank that retains `energy` (0..1) of the squared singular values' sum."""
        retained = self.energies.cumsum(0)
        return int((retained < energy * retained[-1]).sum()) + 1


def factorize(matrix: Tensor, keep: int) -> Factorization:
    """Factorize `matrix` (m, n), float32 or float64, and keep its `keep` leading vectors.

    Large matrices go through the eigenvectors of W W^T, which are W's left singular vectors. In
    float32 that blurs singular values under some 1e-3 of the largest. They hold a millionth
    of its energy, and as `split` projects W itself on the vectors, such a blur only changes which
    of these directions are dropped, not the values in those kept.
    """
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    if matrix.shape[0] <= SVD_ROWS:
        vectors, values, _ = torch.linalg.svd(matrix, full_matrices=False)
        energies = values.double().square()
    else:
        ascending, vectors = torch.linalg.eigh(matrix @ matrix.T)
        vectors, energies = vectors.flip(1), ascending.flip(0).double().clamp_min(0.0)
    return Factorization(vectors[:, :keep].clone(), energies)


def split(matrix: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """(m, n) -> (m, r) and (r, n), whose product is `matrix` projected on `basis` (min(m, n), r).

    Both factors carry the root of each singular value: of all pairs with this product, that one has
    the least norm, so weight decay does not pull it apart, and their gradients are alike in size.
    """
    if matrix.shape[0] > matrix.shape[1]:
        right, left = split(matrix.T, basis)
        return left.T, right.T
    down = basis.T @ matrix
    root = down.norm(dim=1).sqrt()
    root[root == 0.0] = 1.0
    return basis * root, down.div_(root[:, None])
