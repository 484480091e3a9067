"""Impact copolymers cut by a microtome: polypropylene with rubber domains that hold polyethylene.

Warped ellipses of lognormal sizes, merged where they meet, lie in a matrix (a Boolean model), and
discs of polyethylene lie in them, each with a shell of rubber. The surface has no edges, so fields
on it are as many as one likes. What a sample is made of, and what its bulk does, tells its
`Formulation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from sim._copolymer_formulation import FORMULATIONS, MODULUS_PE, BulkProperties, Formulation
from sim._copolymer_kernel import add_grooves, find_grains
from sim.forces import Force
from sim.surface import Contact, Material
from sim.texture import add_gradient_noise

__all__ = ["FORMULATIONS", "BulkProperties", "Copolymer", "Formulation"]

# Moduli of components are as an instrument states them that takes 0.3 for Poisson's ratio.
_POISSON_STATED = 0.3
# Work of adhesion to a silicon tip, J/m^2: 9, 22 and 14 nN for a radius of 30 nm.
_WORK_PP, _WORK_RUBBER, _WORK_PE = 0.048, 0.117, 0.074
_SNAP_IN = 0.1  # of the adhesion: polymers pull in gently and hold fast
# Relaxation times, s: with them tapping at 300 kHz dissipates most in the rubber, least in the
# matrix, while at 2 kHz all are nearly elastic.
_RELAX_PP, _RELAX_RUBBER, _RELAX_PE = 0.01e-6, 0.10e-6, 0.06e-6
_DAMPING_DECAY = 1.5e-9  # m

_CLIPPED = 2.2  # standard deviations of the logarithm of a size
_FLATTEST, _FLATTEST_INCLUSION = 0.55, 0.7  # ratio of the axes
# Standard deviations of logarithms from place to place of a sample: no two fields are alike.
_DOMAIN_DENSITY_SPREAD, _DOMAIN_SIZE_SPREAD = 0.20, 0.15
_INCLUSION_DENSITY_SPREAD, _INCLUSION_SIZE_SPREAD = 0.40, 0.12
_INCLUSION_SPREAD = 0.25  # of the logarithm of the diameter of an inclusion
_SHELL = 35e-9  # m of rubber around every inclusion
_EDGE = 12e-9  # m, over which a tip's contact passes from one component to the next
_WARP, _WARP_INCLUSION = 0.35, 0.25  # amplitude of the warp over the diameter
_DOME = 0.012  # height of a domain over its radius: rubber that shrank by 1.2e-4/K more than the
# matrix when it was cut 100 K below room temperature stands out after
_DIMPLE = 0.006  # the same of inclusions, inwards, as polyethylene expands less than rubber
_DOMAIN_MODULUS_SPREAD = 0.05  # of the logarithm of the modulus from domain to domain
_RUBBER_TEXTURE = np.array([(110e-9, 0.25)])  # the same within a domain: cell m, amplitude
_MATRIX_TEXTURE = np.array([(1.7e-6, 0.15), (0.4e-6, 0.10)])  # of the matrix: spherulites
_ROUGHNESS = np.array([(35e-9, 0.7e-9), (90e-9, 1.2e-9), (260e-9, 1.6e-9)])
_GROOVE_CELL, _GROOVE_DEPTH = 350e-9, 4e-9
_STREAM_DOMAINS, _STREAM_INCLUSIONS, _STREAM_GROOVES = 300, 400, 500


class Copolymer:
    """The cut face of an impact copolymer, a `Surface` without edges.

    Parameters
    ----------
    formulation : Formulation
        What it is made of.
    seed : int
        The same seed makes the same surface. Fields far from each other on one surface are as
        different as surfaces of different seeds.
    """

    def __init__(self, formulation: Formulation, seed: int = 0) -> None:
        self.formulation = formulation
        self.seed = seed
        stated = 1 - _POISSON_STATED**2
        rows = (
            ("PP", formulation.matrix_modulus, _WORK_PP, _RELAX_PP),
            ("EPR", formulation.rubber_modulus, _WORK_RUBBER, _RELAX_RUBBER),
            ("PE", MODULUS_PE, _WORK_PE, _RELAX_PE),
        )
        self.materials = tuple(
            _material(name, modulus / stated, work, relaxation)
            for name, modulus, work, relaxation in rows
        )
        # samples of one seed are as different as seeds of one sample
        words = np.random.SeedSequence([seed, *formulation.name.encode()]).generate_state(8)
        self._seeds = _Seeds(*(int(word) for word in words[:-1]))
        self._cut = math.pi * float(words[-1]) / 2**32

    def component(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.intp]:
        """Return which component lies at each point: 0 PP, 1 rubber, 2 PE.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        """
        found = self._structure(x, y)
        return (found.rubber > 0).astype(np.intp) + (found.polyethylene > 0)

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the topography: domains that stand out, roughness and the marks of the knife, m.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        """
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        found = self._structure(x, y)
        out = _DOME * found.dome - _DIMPLE * found.dimple
        out += _noise(x, y, self._seeds.roughness, _ROUGHNESS)
        flat = out.ravel()
        add_grooves(
            x.ravel(), y.ravel(), self._seeds.grains, _STREAM_GROOVES, self._cut, _GROOVE_CELL,
            _GROOVE_DEPTH, flat,
        )  # fmt: skip
        return flat.reshape(x.shape)

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        """Return how the surface meets a slow tip; at edges components count by their share.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        radius : float
            Of the tip, m.
        """
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        found = self._structure(x, y)
        rubber = 0.5 * (1 + np.tanh(found.rubber / _EDGE))
        polyethylene = rubber * 0.5 * (1 + np.tanh(found.polyethylene / _EDGE))
        shares = (1 - rubber, rubber - polyethylene, polyethylene)
        matrix, soft, stiff = (math.log(material.modulus) for material in self.materials)
        spherulites = _noise(x, y, self._seeds.stiffness, _MATRIX_TEXTURE)
        within = _noise(x, y, self._seeds.stiffness, _RUBBER_TEXTURE)
        logarithm = (
            shares[0] * (matrix + spherulites)
            + shares[1] * (soft + found.stiffening + within)
            + shares[2] * stiff
        )
        adhesion = _mixed(shares, tuple(made.adhesion(radius) for made in self.materials))
        relaxation = _mixed(shares, (_RELAX_PP, _RELAX_RUBBER, _RELAX_PE))
        return Contact(np.exp(logarithm), adhesion, _SNAP_IN * adhesion, relaxation)

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        """Return the force law at each point, all of one kind.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            Points on the surface, m.
        radius : float
            Of the tip, m.
        """
        laws = [material.force(radius) for material in self.materials]
        return [laws[index] for index in np.ravel(self.component(x, y))]

    def _structure(self, x: ArrayLike, y: ArrayLike) -> _Structure:
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        made = self.formulation
        diameter = made.domain_diameter
        seeds = self._seeds
        warp = np.array([(0.8 * diameter, 1.0), (0.35 * diameter, 0.4)])
        depth, dome, mark = self._domains.find(
            x + _WARP * diameter * _noise(x, y, seeds.warp_x, warp),
            y + _WARP * diameter * _noise(x, y, seeds.warp_y, warp),
            seeds.grains,
            _STREAM_DOMAINS,
        )
        size = made.inclusion_ratio * diameter
        fine = np.array([(0.8 * size, _WARP_INCLUSION * size)])
        deep, dimple, _ = self._inclusions.find(
            x + _noise(x, y, seeds.fine_x, fine),
            y + _noise(x, y, seeds.fine_y, fine),
            seeds.grains,
            _STREAM_INCLUSIONS,
        )
        polyethylene = np.minimum(deep, depth - _SHELL)
        stiffening = _DOMAIN_MODULUS_SPREAD * _QUANTILES[mark]
        return _Structure(depth, polyethylene, dome, np.where(depth > 0, dimple, 0.0), stiffening)

    @cached_property
    def _domains(self) -> _Grains:
        made = self.formulation
        radii = made.domain_diameter / 2 * np.exp(made.domain_spread * _QUANTILES)
        spreads = (_DOMAIN_DENSITY_SPREAD, _DOMAIN_SIZE_SPREAD)
        return _Grains.covering(made.rubber_fraction, radii, _FLATTEST, spreads)

    @cached_property
    def _inclusions(self) -> _Grains:
        made = self.formulation
        sizes = np.exp(_INCLUSION_SPREAD * _QUANTILES)
        sizes /= math.sqrt(float(np.mean(sizes**2)))
        radii = made.inclusion_ratio * made.domain_diameter / 2 * sizes
        # of the domains' area that is left within the shells
        domains = self._domains.radii
        within = float(np.mean(np.maximum(domains - _SHELL, 0.0) ** 2) / np.mean(domains**2))
        spreads = (_INCLUSION_DENSITY_SPREAD, _INCLUSION_SIZE_SPREAD)
        return _Grains.covering(
            min(made.inclusion_fraction / within, 0.9), radii, _FLATTEST_INCLUSION, spreads
        )


class _Seeds(NamedTuple):
    """Of the fields that make a surface."""

    grains: int
    warp_x: int
    warp_y: int
    fine_x: int
    fine_y: int
    roughness: int
    stiffness: int


@dataclass(frozen=True)
class _Structure:
    """What lies at points: depths in the components, relief, logarithm of the stiffening."""

    rubber: NDArray[np.float64]
    polyethylene: NDArray[np.float64]
    dome: NDArray[np.float64]
    dimple: NDArray[np.float64]
    stiffening: NDArray[np.float64]


@dataclass(frozen=True)
class _Grains:
    """Grains at random places that cover a share of the plane where they may overlap."""

    radii: NDArray[np.float64]
    kind: tuple[float, float, float, float, float]

    @classmethod
    def covering(
        cls,
        share: float,
        radii: NDArray[np.float64],
        flattest: float,
        spreads: tuple[float, float],
    ) -> _Grains:
        largest = float(radii.max()) * math.exp(2 * spreads[1])
        cell = 1.01 * largest / math.sqrt(flattest)
        density = -math.log1p(-share) / (math.pi * float(np.mean(radii**2)))
        return cls(radii, (cell, density * cell**2, flattest, *spreads))

    def find(
        self, x: NDArray[np.float64], y: NDArray[np.float64], seed: int, stream: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        depth, dome = np.empty(x.size), np.empty(x.size)
        mark = np.empty(x.size, np.int64)
        find_grains(
            x.ravel(), y.ravel(), seed, stream, self.kind, self.radii, depth, dome, mark
        )  # fmt: skip
        return depth.reshape(x.shape), dome.reshape(x.shape), mark.reshape(x.shape)


def _clipped_quantiles() -> NDArray[np.float64]:
    """Return equally likely numbers of the normal distribution within +-2.2."""
    low = ndtr(-_CLIPPED)
    return ndtri(low + (1 - 2 * low) * (np.arange(4096) + 0.5) / 4096)


_QUANTILES = _clipped_quantiles()


def _noise(
    x: NDArray[np.float64], y: NDArray[np.float64], seed: int, octaves: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = np.zeros(x.size, np.float32)
    add_gradient_noise(x.ravel(), y.ravel(), seed, octaves, out)
    return out.astype(np.float64).reshape(x.shape)


def _mixed(
    shares: tuple[NDArray[np.float64], ...], values: tuple[float, ...]
) -> NDArray[np.float64]:
    return np.sum([share * value for share, value in zip(shares, values, strict=True)], axis=0)


def _material(name: str, modulus: float, work: float, relaxation: float) -> Material:
    """Return a material that adheres and relaxes so to a tip of any radius."""
    # F = 2 pi R W is H R / (6 a0^2)
    plain = Material(name, modulus, 1.0, 0.0, decay=_DAMPING_DECAY)
    hamaker = 12 * math.pi * plain.intermolecular**2 * work
    damping = relaxation * 2 * modulus * math.sqrt(30e-9 * plain.decay)
    return Material(name, modulus, hamaker, damping, decay=_DAMPING_DECAY)
