"""Ridge regression in closed form: one Gram matrix and one eigendecomposition serve every penalty and every output at once."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Eigen:
    """A weighted least-squares problem, decomposed; the intercept is not penalised.

    Parameters
    ----------
    mean_F, intercept_H
        Weighted means of inputs and targets.
    vectors_FF, values_F
        Eigenvectors and eigenvalues of the weighted, centred Gram matrix.
    cross_FH
        Weighted cross products of inputs and targets, in the eigenvectors' basis.
    """

    mean_F: np.ndarray
    intercept_H: np.ndarray
    vectors_FF: np.ndarray
    values_F: np.ndarray
    cross_FH: np.ndarray

    @classmethod
    def of(cls, x_NF: np.ndarray, target_NH: np.ndarray, weight_N: np.ndarray) -> "Eigen":
        """Decompose the problem min sum_n w_n |t_n - a - x_n B|^2."""
        share_N = weight_N / weight_N.sum()
        mean_F, intercept_H = share_N @ x_NF, share_N @ target_NH
        root_N = np.sqrt(weight_N)[:, None]
        centred_NF = (x_NF - mean_F) * root_N
        values_F, vectors_FF = np.linalg.eigh(centred_NF.T @ centred_NF)
        cross_FH = vectors_FF.T @ (centred_NF.T @ ((target_NH - intercept_H) * root_N))
        return cls(mean_F, intercept_H, vectors_FF, np.maximum(values_F, 0.0), cross_FH)

    def ridge(self, penalty: float) -> float:
        """Turn a penalty in units of the mean Gram diagonal into an absolute one."""
        return max(penalty * float(self.values_F.mean()), 1e-12)

    def coefficients(self, penalty: float) -> np.ndarray:
        """Solve for a penalty: (F, H), for inputs from which `mean_F` is subtracted."""
        return self.vectors_FF @ (self.cross_FH / (self.values_F + self.ridge(penalty))[:, None])

    def freedom(self, penalty: float) -> float:
        """Effective degrees of freedom, the intercept included."""
        return 1.0 + float((self.values_F / (self.values_F + self.ridge(penalty))).sum())
