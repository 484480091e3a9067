"""A polymer blend under a tip: where which polymer lies, how high, and how it pushes and pulls.

Domains are levels of a sum of plane waves with random directions and phases and nearly one
wavelength, which is what spinodal decomposition leaves (Cahn, J. Chem. Phys. 42, 93 (1965)); so the
surface can be evaluated anywhere, is never finer or coarser than asked, and has no edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from sim.forces import ExponentialDamping, Force, VdwDmt

__all__ = [
    "Contact",
    "Even",
    "Material",
    "PolymerBlend",
    "Surface",
    "Uniform",
    "pp_rubber",
    "ps_ldpe",
]

_WAVES = 96  # a sum of so many waves is Gaussian enough for area fractions within 0.02
_SPREAD = 0.2  # of the wave numbers: width of the structure factor's ring over its radius
_EDGE = 0.15  # standard deviations of the field over which the relief rises at a domain's edge
_INTERMOLECULAR = 0.3e-9  # m, at which a contact begins; Israelachvili's is 0.165e-9, for solids
_PROBED = np.array([1e-9, 3e-9])  # m of indentation at which a law tells its modulus


@dataclass(frozen=True)
class Material:
    """A polymer as a tip feels it.

    Parameters
    ----------
    name : str
        For people.
    modulus : float
        Effective modulus E* = E / (1 - nu^2), Pa.
    hamaker : float
        Hamaker constant with the tip, J; with the intermolecular distance it makes the adhesion.
    damping : float
        Linear damping at the surface, N s/m.
    cubic_damping : float
        Cubic damping at the surface, N s^3/m^3.
    decay : float
        Length over which the damping decays, m.
    intermolecular : float
        Distance at which the contact begins, m.
    """

    name: str
    modulus: float
    hamaker: float
    damping: float
    cubic_damping: float = 0.0
    decay: float = 1.5e-9
    intermolecular: float = _INTERMOLECULAR

    def force(self, radius: float) -> Force:
        """Return the force law under a tip of `radius` (m)."""
        contact = VdwDmt(self.hamaker, radius, self.modulus, self.intermolecular)
        return contact + ExponentialDamping(self.damping, self.cubic_damping, self.decay)

    def adhesion(self, radius: float) -> float:
        """Return the force that pulls a tip of `radius` (m) off, N."""
        return self.hamaker * radius / (6 * self.intermolecular**2)

    def relaxation(self, radius: float) -> float:
        """Return the relaxation time that damps a contact as deep as `decay` as `damping` does, s.

        Parameters
        ----------
        radius : float
            Of the tip, m.
        """
        return self.damping / (2 * self.modulus * math.sqrt(radius * self.decay))


@dataclass(frozen=True)
class Contact:
    """How a surface meets a tip that presses slowly and lets go; arrays of one shape.

    Pressed, the force is that of Derjaguin, Muller and Toporov, J. Colloid Interface Sci. 53, 314
    (1975). Before the surfaces have touched they attract each other less than after: `snap_in` on
    the way in, `adhesion` on the way out.

    Parameters
    ----------
    modulus : ndarray
        Effective modulus E*, Poisson's ratio included, Pa.
    adhesion : ndarray
        Pull-off force for the radius that was asked for, N.
    snap_in : ndarray
        Attraction on approach, from 0 to the adhesion, N.
    relaxation : ndarray
        Relaxation time of a Kelvin-Voigt solid, s: the contact's elastic force F becomes
        F + relaxation dF/dt (Brilliantov et al., Phys. Rev. E 53, 5382 (1996)).
    """

    modulus: NDArray[np.float64]
    adhesion: NDArray[np.float64]
    snap_in: NDArray[np.float64]
    relaxation: NDArray[np.float64]


class Surface(Protocol):
    """What lies under a tip."""

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the topography at points x, y (m), m."""
        ...

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        """Return the force law under a tip of `radius` (m) at each point (m), all of one kind."""
        ...

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        """Return how the surface meets a slow tip of `radius` (m) at each point (m)."""
        ...


@dataclass(frozen=True)
class Even:
    """A flat surface that is the same everywhere.

    Parameters
    ----------
    law : Force
        Between it and the tip, whatever the tip's radius.
    """

    law: Force

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return zeros of the shape to which x and y broadcast, m."""
        return np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        """Return the law, once a point."""
        return [self.law] * self.height(x, y).size

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        """Return the contact that presses and pulls as the law does, at each point (m).

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        radius : float
            Of the tip, m, to which the modulus refers; the law keeps its own.
        """
        force, _ = self.law.components(_INTERMOLECULAR - np.append(0.0, _PROBED), 0.0, 0.0, 0.0)
        # the powers 2/3 of F - F(0) lie on a line for a sphere; its slope is free of the origin
        slope = np.diff(np.maximum(force[1:] - force[0], 0.0) ** (2 / 3))[0] / np.diff(_PROBED)[0]
        modulus = 0.75 * max(slope, 0.0) ** 1.5 / math.sqrt(radius)
        adhesion = max(-force[0], 0.0)
        return _even_contact(self.height(x, y).shape, modulus, adhesion, adhesion, 0.0)


@dataclass(frozen=True)
class Uniform:
    """A flat surface of one material, told by what a slow tip feels.

    Parameters
    ----------
    modulus : float
        Effective modulus E*, Pa.
    adhesion : float
        Pull-off force of a tip of any radius, N.
    snap_in : float
        Attraction on approach, N.
    relaxation : float
        Relaxation time, s.
    """

    modulus: float
    adhesion: float = 0.0
    snap_in: float = 0.0
    relaxation: float = 0.0

    def __post_init__(self) -> None:
        if not self.modulus > 0:
            raise ValueError(f"modulus {self.modulus!r} Pa is not allowed: above 0")
        if not 0 <= self.snap_in <= self.adhesion:
            raise ValueError(
                f"snap_in {self.snap_in!r} N is not allowed: 0 to the adhesion, {self.adhesion!r} N"
            )
        if not self.relaxation >= 0:
            raise ValueError(f"relaxation {self.relaxation!r} s is not allowed: 0 or more")

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return zeros of the shape to which x and y broadcast, m."""
        return np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        """Return a DMT contact with this modulus and adhesion, once a point."""
        hamaker = 6 * _INTERMOLECULAR**2 * self.adhesion / radius
        law = VdwDmt(hamaker, radius, self.modulus, _INTERMOLECULAR)
        return [law] * self.height(x, y).size

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        """Return the same contact at every point, whatever the radius (m) of the tip."""
        shape = self.height(x, y).shape
        return _even_contact(shape, self.modulus, self.adhesion, self.snap_in, self.relaxation)


def _even_contact(
    shape: tuple[int, ...], modulus: float, adhesion: float, snap_in: float, relaxation: float
) -> Contact:
    return Contact(*(np.full(shape, value) for value in (modulus, adhesion, snap_in, relaxation)))


@dataclass(frozen=True)
class _Waves:
    """A Gaussian random field of unit variance as a sum of plane waves."""

    kx: NDArray[np.float64]
    ky: NDArray[np.float64]
    phase: NDArray[np.float64]

    @classmethod
    def of_wavelength(cls, wavelength: float, rng: np.random.Generator) -> _Waves:
        number = 2 * math.pi / wavelength * (1 + _SPREAD * rng.standard_normal(_WAVES))
        direction = 2 * math.pi * rng.random(_WAVES)
        phase = 2 * math.pi * rng.random(_WAVES)
        return cls(number * np.cos(direction), number * np.sin(direction), phase)

    def sample(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        argument = np.multiply.outer(x, self.kx) + np.multiply.outer(y, self.ky) + self.phase
        return math.sqrt(2 / _WAVES) * np.cos(argument).sum(axis=-1)


class PolymerBlend:
    """A surface of two or more polymers: the first is the matrix, each next lies in the one before.

    Parameters
    ----------
    materials : sequence of Material
        Two at least, from the matrix inwards.
    fractions : sequence of float
        Share of the area that each takes; their sum is 1.
    period : float
        Distance from one domain to the next, m.
    relief : float
        How far each polymer stands out of the one around it, m.
    roughness : float
        Rms of the topography within a polymer, m.
    roughness_period : float
        Its lateral period, m.
    seed : int
        The same seed makes the same surface.

    Raises
    ------
    ValueError
        When there are no two materials, or the fractions are no shares of one whole.
    """

    def __init__(
        self,
        materials: Sequence[Material],
        fractions: Sequence[float],
        *,
        period: float = 400e-9,
        relief: float = 4e-9,
        roughness: float = 0.4e-9,
        roughness_period: float = 60e-9,
        seed: int = 0,
    ) -> None:
        if len(materials) < 2 or len(fractions) != len(materials):
            raise ValueError(
                f"a blend of {len(materials)} materials with {len(fractions)} fractions is not "
                "allowed: two materials at least, one fraction each"
            )
        if min(fractions) <= 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-9):
            raise ValueError(f"fractions {list(fractions)} are not allowed: above 0, with sum 1")
        self.materials = tuple(materials)
        self._levels = ndtri(np.cumsum(fractions)[:-1])
        self._relief = relief
        self._roughness = roughness
        # not the stream that others draw from the same seed
        rng = np.random.default_rng([seed, 0x5DB1E4D])
        self._domains = _Waves.of_wavelength(period, rng)
        self._grain = _Waves.of_wavelength(roughness_period, rng)

    def material(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.intp]:
        """Return which of the materials lies at each point.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.

        Returns
        -------
        ndarray of int
            Indices into `materials`.
        """
        return np.searchsorted(self._levels, self._domains.sample(x, y))

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the topography, m.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        """
        field = self._domains.sample(x, y)[..., np.newaxis]
        steps = 0.5 * (1 + np.tanh((field - self._levels) / _EDGE))
        return self._relief * steps.sum(axis=-1) + self._roughness * self._grain.sample(x, y)

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
        return [laws[index] for index in np.ravel(self.material(x, y))]

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        """Return how each point's polymer meets a slow tip, the same way in and out.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        radius : float
            Of the tip, m.
        """
        rows = [(m.modulus, m.adhesion(radius), m.relaxation(radius)) for m in self.materials]
        modulus, adhesion, relaxation = np.moveaxis(np.array(rows)[self.material(x, y)], -1, 0)
        return Contact(modulus, adhesion, adhesion, relaxation)


def ps_ldpe(seed: int = 0) -> PolymerBlend:
    """Return polystyrene with domains of low-density polyethylene, a usual test sample.

    Young's moduli of 2 GPa and 0.1 GPa are those that the makers of such samples give; Hamaker
    constants and dampings are of the size of those of Borysov et al., chosen to differ.
    """
    polystyrene = Material("PS", modulus=2.2e9, hamaker=6.5e-20, damping=1.0e-7)
    polyethylene = Material("LDPE", modulus=0.13e9, hamaker=8.0e-20, damping=3.0e-7)
    return PolymerBlend((polystyrene, polyethylene), (0.65, 0.35), seed=seed)


def pp_rubber(seed: int = 0) -> PolymerBlend:
    """Return polypropylene with rubber domains that hold polyethylene, an impact copolymer.

    Young's moduli: polypropylene 1.5 GPa, ethylene-propylene rubber 60 MPa, polyethylene 0.3 GPa;
    the rest as in `ps_ldpe`.
    """
    polypropylene = Material("PP", modulus=1.8e9, hamaker=6.0e-20, damping=0.8e-7)
    rubber = Material("EPR", modulus=0.08e9, hamaker=8.5e-20, damping=4.0e-7)
    polyethylene = Material("PE", modulus=0.36e9, hamaker=7.5e-20, damping=2.0e-7)
    return PolymerBlend(
        (polypropylene, rubber, polyethylene), (0.75, 0.18, 0.07), period=700e-9, seed=seed
    )
