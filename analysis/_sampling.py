"""A sample of a density that is known up to a factor, by a population of Markov chains.

Differential evolution Markov chain: ter Braak, Stat. Comput. 16 (2006) 239. The chains take their
steps from each other, so that neither scales nor correlations have to be known. A chain that is
left in a mode of no weight would stay there, and is taken to the others in the burn-in: Vrugt et
al., Int. J. Nonlinear Sci. Numer. Simul. 10 (2009) 273, sec. 3.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["sample"]

_CHAINS = 40
_CANDIDATES = 400
_STEPS = 260
_BURN_IN = 110
_KEEP_EVERY = 10
# Every tenth step is as long as the distance of two chains: it leads from mode to mode.
_LONG_STEP_EVERY = 10
# In the burn-in, chains are judged after as many steps by their mean over the last of them.
_JUDGE_EVERY = 25
# A chain is lost where it lies deeper below the best than this part of a normal density.
_WITHOUT = 1e-6


def sample(
    log_density: Callable[[NDArray[np.float64]], float],
    centres: NDArray[np.float64],
    jitter: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw from a density.

    Parameters
    ----------
    log_density : callable
        Of an array of shape (d,); -inf where it is not allowed.
    centres : ndarray, shape (c, d)
        Modes that are known.
    jitter : ndarray, shape (d,)
        How far the starts lie about them.
    rng : Generator

    Returns
    -------
    ndarray, shape (m, d)
    """
    d = centres.shape[1]
    chosen = rng.integers(len(centres), size=_CANDIDATES)
    candidates = centres[chosen] + rng.normal(size=(_CANDIDATES, d)) * jitter
    candidates = np.concatenate([centres, candidates])
    densities = np.array([log_density(candidate) for candidate in candidates])
    best = np.argsort(-densities)[:_CHAINS]
    state, density = candidates[best], densities[best]
    kept, lately = [], []
    for step in range(_STEPS):
        long = step % _LONG_STEP_EVERY == _LONG_STEP_EVERY - 1
        stride = 1.0 if long else 2.38 / np.sqrt(2.0 * d)
        for chain in range(_CHAINS):
            first, second = rng.choice(_CHAINS - 1, 2, replace=False)
            first, second = first + (first >= chain), second + (second >= chain)
            trial = state[chain] + stride * (state[first] - state[second])
            trial += rng.normal(size=d) * jitter * 1e-3
            new = log_density(trial)
            if np.log(rng.random()) < new - density[chain]:
                state[chain], density[chain] = trial, new
        if step < _BURN_IN:
            lately.append(density.copy())
            if len(lately) == _JUDGE_EVERY:
                _gather(state, density, np.mean(lately, axis=0), rng)
                lately.clear()
        elif step % _KEEP_EVERY == 0:
            kept.append(state.copy())
    return np.concatenate(kept)


def _gather(
    state: NDArray[np.float64],
    density: NDArray[np.float64],
    lately: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Take the chains of modes without weight to one of the others each, in place."""
    from scipy.special import chdtri

    limit = 0.5 * float(chdtri(state.shape[1], _WITHOUT))
    lost = np.flatnonzero(lately < lately.max() - limit)
    others = np.flatnonzero(lately >= lately.max() - limit)
    taken = rng.choice(others, lost.size)
    state[lost], density[lost] = state[taken], density[taken]
