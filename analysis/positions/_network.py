"""The linear algebra of `positions`: a network of fields (nodes) and registered pairs (edges)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Covariances", "Network", "short_loops"]

# Columns of the inverse held at once: 256 of 4000 doubles are 8 MB.
_COLUMNS = 256
# A pair that has this share of the say on itself is checked by nothing but the stage.
_GREATEST_LEVERAGE = 0.999


@dataclass(frozen=True)
class Covariances:
    """Covariances of the nodes, absolute and relative to their group, and of the edges, px²."""

    absolute: NDArray[np.float64]
    relative: NDArray[np.float64]
    group: NDArray[np.int64]
    of_pairs: NDArray[np.float64]


class Network:
    """Normal equations of positions from pair shifts and priors.

    Parameters
    ----------
    ends : ndarray of int, shape (pairs, 2)
    shift : ndarray, shape (pairs, 2)
    covariance : ndarray, shape (pairs, 2, 2)
    prior : ndarray, shape (n, 2)
    sigma : ndarray, shape (2,)
    """

    def __init__(
        self,
        ends: NDArray[np.int64],
        shift: NDArray[np.float64],
        covariance: NDArray[np.float64],
        prior: NDArray[np.float64],
        sigma: NDArray[np.float64],
    ) -> None:
        self.ends = ends
        self.shift = shift
        self._covariance = covariance
        self._information = np.linalg.inv(covariance)
        self._prior = prior
        self._prior_information = 1.0 / sigma**2

    def solve(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions, shape (n, 2) px, with the pairs' information multiplied by `weight`."""
        n = len(self._prior)
        # solved for the correction to the prior, so that large coordinates cost no digits
        misfit = self.shift - (self._prior[self.ends[:, 1]] - self._prior[self.ends[:, 0]])
        pull = np.einsum("k,kij,kj->ki", weight, self._information, misfit)
        right = np.zeros((n, 2))
        np.add.at(right, self.ends[:, 1], pull)
        np.subtract.at(right, self.ends[:, 0], pull)
        return self._prior + self._factor(weight).solve(right.ravel()).reshape(n, 2)

    def residual(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shift less the difference of the positions, shape (pairs, 2) px."""
        return self.shift - (position[self.ends[:, 1]] - position[self.ends[:, 0]])

    def z_squared(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared residuals in units of the pairs' own covariances, shape (pairs,)."""
        residual = self.residual(position)
        return np.einsum("ki,kij,kj->k", residual, self._information, residual)

    def judged(
        self,
        residual: NDArray[np.float64],
        weight: NDArray[np.float64],
        of_pairs: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Judge each pair by what all others predict for it.

        Returns
        -------
        z : ndarray, shape (pairs,)
            Distance from the prediction, standard deviations.
        misfit : ndarray, shape (pairs, 2)
            The same in px.
        free : ndarray of bool, shape (pairs,)
            Whether other pairs predict it at all; else the stage alone does.
        """
        used = weight > 0.0
        scale2 = 1.0 / weight[used].max() if used.any() else 1.0
        own = self._covariance * scale2
        # share of a pair in its own adjusted value; nothing for one that was left out
        hat = np.where(used[:, None, None], of_pairs @ np.linalg.inv(own), 0.0)
        leverage = np.abs(np.linalg.eigvals(hat)).max(axis=1, initial=0.0)
        free = leverage < _GREATEST_LEVERAGE
        misfit = np.linalg.solve(np.eye(2) - hat, residual[:, :, None])[:, :, 0]
        spread = np.where(
            used[:, None, None], np.linalg.solve(np.eye(2) - hat, own), own + of_pairs
        )
        z = np.sqrt(np.einsum("ki,kij,kj->k", misfit, np.linalg.inv(spread), misfit))
        return z, np.asarray(misfit, dtype=float), free

    def pair_covariances(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariance of the difference of each pair's positions, shape (pairs, 2, 2) px²."""
        return self._blocks(weight)[1]

    def covariances(self, weight: NDArray[np.float64]) -> Covariances:
        """All covariances, with the pairs' information multiplied by `weight`."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = len(self._prior)
        absolute, of_pairs, factor = self._blocks(weight)
        used = self.ends[weight > 0.0]
        graph = coo_array((np.ones(len(used)), (used[:, 0], used[:, 1])), shape=(n, n))
        group = connected_components(graph, directed=False)[1].astype(np.int64)
        members = np.bincount(group).astype(float)
        # sums of the columns of one group at a time: all groups at once, for they do not correlate
        ones = np.zeros((2 * n, 2))
        ones[0::2, 0] = ones[1::2, 1] = 1.0
        with_mean = factor.solve(ones).reshape(n, 2, 2) / members[group][:, None, None]
        of_mean = np.zeros((members.size, 2, 2))
        np.add.at(of_mean, group, with_mean)
        of_mean /= members[:, None, None]
        relative = absolute - with_mean - with_mean.transpose(0, 2, 1) + of_mean[group]
        return Covariances(absolute, relative, group, of_pairs)

    def _blocks(
        self, weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
        """Diagonal blocks of the inverse, its blocks for the pairs, and the factor."""
        n = len(self._prior)
        factor = self._factor(weight)
        diagonal = np.empty((n, 2, 2))
        across = np.empty((len(self.ends), 2, 2))
        for start in range(0, n, _COLUMNS // 2):
            nodes = np.arange(start, min(n, start + _COLUMNS // 2))
            unit = np.zeros((2 * n, 2 * nodes.size))
            unit[2 * start + np.arange(2 * nodes.size), np.arange(2 * nodes.size)] = 1.0
            columns = factor.solve(unit).reshape(n, 2, nodes.size, 2)
            diagonal[nodes] = columns[nodes, :, np.arange(nodes.size), :]
            mine = np.flatnonzero((self.ends[:, 1] >= start) & (self.ends[:, 1] <= nodes[-1]))
            across[mine] = columns[self.ends[mine, 0], :, self.ends[mine, 1] - start, :]
        first, second = self.ends[:, 0], self.ends[:, 1]
        of_pairs = diagonal[first] + diagonal[second] - across - across.transpose(0, 2, 1)
        return diagonal, of_pairs, factor

    def _factor(self, weight: NDArray[np.float64]) -> Any:
        """Sparse factors of the normal matrix, shape (2n, 2n)."""
        from scipy.sparse import coo_array
        from scipy.sparse.linalg import splu

        n = len(self._prior)
        block = self._information * weight[:, None, None]
        rows, columns, values = [np.arange(2 * n)], [np.arange(2 * n)], []
        values.append(np.tile(self._prior_information, n))
        for one in range(2):
            for other in range(2):
                sign = 1.0 if one == other else -1.0
                for i in range(2):
                    for j in range(2):
                        rows.append(2 * self.ends[:, one] + i)
                        columns.append(2 * self.ends[:, other] + j)
                        values.append(sign * block[:, i, j])
        where = (np.concatenate(rows), np.concatenate(columns))
        matrix = coo_array((np.concatenate(values), where), shape=(2 * n, 2 * n)).tocsc()
        return splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )


def short_loops(
    ends: NDArray[np.int64],
    shift: NDArray[np.float64],
    covariance: NDArray[np.float64],
    kept: NDArray[np.bool_],
    nodes: int,
) -> tuple[tuple[tuple[int, ...], ...], NDArray[np.float64], NDArray[np.float64]]:
    """For each pair that closes a loop, the shortest loop through it.

    Returns
    -------
    fields : tuple of tuple of int
        Nodes of each loop, each loop once.
    sums : ndarray, shape (loops, 2)
        Sum of the shifts round it, px.
    spreads : ndarray, shape (loops, 2, 2)
        Sum of the covariances, px².
    """
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
    for k in np.flatnonzero(kept):
        first, second = ends[k].tolist()
        neighbours[first].append((second, int(k)))
        neighbours[second].append((first, int(k)))
    found: dict[frozenset[int], tuple[tuple[int, ...], NDArray[Any], NDArray[Any]]] = {}
    for k in np.flatnonzero(kept):
        first, second = ends[k].tolist()
        way = _shortest(neighbours, second, first, int(k))
        if way is None or frozenset([int(k), *(edge for _, edge in way)]) in found:
            continue
        total, spread = shift[k].copy(), covariance[k].copy()
        for node, edge in way:
            total += shift[edge] if ends[edge, 1] == node else -shift[edge]
            spread += covariance[edge]
        members = frozenset([int(k), *(edge for _, edge in way)])
        found[members] = ((first, second, *(node for node, _ in way[:-1])), total, spread)
    loops = tuple(item[0] for item in found.values())
    sums = np.array([item[1] for item in found.values()]).reshape(-1, 2)
    spreads = np.array([item[2] for item in found.values()]).reshape(-1, 2, 2)
    return loops, sums, spreads


def _shortest(
    neighbours: list[list[tuple[int, int]]], start: int, goal: int, without: int
) -> list[tuple[int, int]] | None:
    """(node, edge) of each step from `start` to `goal` without one edge; None if there is none."""
    came: dict[int, tuple[int, int]] = {start: (start, -1)}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        if node == goal:
            way = []
            while node != start:
                before, edge = came[node]
                way.append((node, edge))
                node = before
            return way[::-1]
        for other, edge in neighbours[node]:
            if edge != without and other not in came:
                came[other] = (node, edge)
                waiting.append(other)
    return None
