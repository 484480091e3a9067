"""Which samples there are, what they are made of, and what their bulk does in mechanical tests.

Rules of mixing: Mori and Tanaka, Acta Metall. 21, 571 (1973); Nicolais and Narkis, Polym. Eng. Sci.
11, 194 (1971); Wu, Polymer 26, 1855 (1985). Sizes and moduli of the samples are of the order of
the literature's (J. Appl. Polym. Sci. 59, 301 (1996)); the rubber of A2 and C5 is as stiff as in
Bruker application note 155.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from types import MappingProxyType

import numpy as np

__all__ = ["FORMULATIONS", "MODULUS_PE", "BulkProperties", "Formulation"]

_UM = 1e-6
# Poisson's ratios and the modulus of polyethylene: usual values, with which the rules of mixing
# give the Young's moduli that the samples are meant to have to 0.2 %.
_POISSON_PP, _POISSON_RUBBER, _POISSON_PE = 0.38, 0.49, 0.46
MODULUS_PE = 0.3e9  # Pa
_LATENT_IZOD, _LATENT_ELONGATION = 0.25, 0.06  # of the logarithm, a standard deviation of the rest


@dataclass(frozen=True)
class BulkProperties:
    """What mechanical tests of the bulk find.

    Parameters
    ----------
    young : float
        Young's modulus, Pa.
    flexural : float
        Flexural modulus, Pa.
    yield_stress : float
        Pa.
    izod : float
        Notched Izod impact strength, J/m.
    elongation : float
        Ultimate elongation over the length before.
    """

    young: float
    flexural: float
    yield_stress: float
    izod: float
    elongation: float


@dataclass(frozen=True)
class Formulation:
    """What an impact copolymer is made of.

    Parameters
    ----------
    name : str
        Of the sample.
    rubber_fraction : float
        Share of the area that is rubber or polyethylene.
    domain_diameter : float
        Median diameter of a rubber domain, m.
    domain_spread : float
        Standard deviation of the logarithm of the diameter.
    inclusion_density : float
        Polyethylene inclusions on an area of rubber, 1/m^2.
    inclusion_ratio : float
        Diameter of an inclusion over the median diameter of a domain.
    rubber_modulus, matrix_modulus : float
        Young's moduli as an instrument states them that takes 0.3 for Poisson's ratio, Pa.
    """

    name: str
    rubber_fraction: float
    domain_diameter: float
    domain_spread: float
    inclusion_density: float
    inclusion_ratio: float
    rubber_modulus: float
    matrix_modulus: float

    def __post_init__(self) -> None:
        if not 0 < self.rubber_fraction < 0.5:
            raise ValueError(
                f"rubber_fraction {self.rubber_fraction!r} is not allowed: between 0 and 0.5, "
                "beyond which the rubber would be the matrix"
            )
        for name in ("domain_diameter", "inclusion_ratio", "rubber_modulus", "matrix_modulus"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)!r} is not allowed: above 0")
        if not self.inclusion_fraction < 0.6:
            raise ValueError(
                f"inclusions would take {self.inclusion_fraction:.2f} of the rubber: below 0.6 is "
                "allowed"
            )

    @classmethod
    def drawn(cls, rng: np.random.Generator, name: str) -> Formulation:
        """Return a formulation that might stand among `FORMULATIONS`.

        Each figure is drawn for itself, evenly in its logarithm, between the smallest and the
        largest of those samples: figures that go together there, as more rubber in a softer matrix
        does, tell nothing of each other here.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws the figures.
        name : str
            Of the sample.
        """
        figures = np.log([astuple(made)[1:] for made in FORMULATIONS.values()])
        return cls(name, *np.exp(rng.uniform(figures.min(axis=0), figures.max(axis=0))).tolist())

    @property
    def inclusion_fraction(self) -> float:
        """Share of the domains that is polyethylene."""
        diameter = self.inclusion_ratio * self.domain_diameter
        return self.inclusion_density * math.pi / 4 * diameter**2

    @property
    def ligament(self) -> float:
        """Distance from the surface of one domain to that of the next, m.

        Wu, Polymer 26, 1855 (1985).
        """
        return self.domain_diameter * ((math.pi / (6 * self.rubber_fraction)) ** (1 / 3) - 1)

    def bulk(self, rng: np.random.Generator | None = None) -> BulkProperties:
        """Return what tests of the bulk would find.

        Young's modulus: Mori and Tanaka, Acta Metall. 21, 571 (1973), polyethylene in rubber and
        both in polypropylene. Yield stress: Nicolais and Narkis, Polym. Eng. Sci. 11, 194 (1971).
        Impact strength and elongation rise where ligaments become short, after Wu.

        Parameters
        ----------
        rng : numpy.random.Generator, optional
            Draws what no image shows: the length of the matrix's chains and its crystallinity,
            which change the impact strength and a little the elongation.
        """
        domain = _mori_tanaka(
            (self.rubber_modulus, _POISSON_RUBBER),
            (MODULUS_PE, _POISSON_PE),
            self.inclusion_fraction,
        )
        young, _ = _mori_tanaka((self.matrix_modulus, _POISSON_PP), domain, self.rubber_fraction)
        latent = 0.0 if rng is None else float(rng.standard_normal())
        ligament = self.ligament / _UM
        return BulkProperties(
            young=young,
            flexural=1.06 * young,
            yield_stress=34e6 * (1 - 1.21 * self.rubber_fraction ** (2 / 3)),
            izod=(60 + 500 / (1 + math.exp((ligament - 0.32) / 0.035)))
            * math.exp(_LATENT_IZOD * latent),
            elongation=(0.40 + 4.20 / (1 + math.exp((ligament - 0.34) / 0.06)))
            * math.exp(_LATENT_ELONGATION * latent),
        )


def _mori_tanaka(
    matrix: tuple[float, float], sphere: tuple[float, float], fraction: float
) -> tuple[float, float]:
    """Return Young's modulus (Pa) and Poisson's ratio of a matrix with spheres."""
    (bulk, shear), (bulk_in, shear_in) = (
        (modulus / (3 * (1 - 2 * poisson)), modulus / (2 * (1 + poisson)))
        for modulus, poisson in (matrix, sphere)
    )
    # Eshelby's tensor of a sphere
    volume = 3 * bulk / (3 * bulk + 4 * shear)
    shape = 6 * (bulk + 2 * shear) / (5 * (3 * bulk + 4 * shear))
    rest = 1 - fraction
    bulk += fraction * (bulk_in - bulk) / (1 + rest * volume * (bulk_in - bulk) / bulk)
    shear += fraction * (shear_in - shear) / (1 + rest * shape * (shear_in - shear) / shear)
    whole = 3 * bulk + shear
    return 9 * bulk * shear / whole, (3 * bulk - 2 * shear) / (2 * whole)


# fraction, diameter (um), its spread, inclusions (1/um^2), their ratio, rubber and matrix (MPa)
_SAMPLES = {
    "A2": (0.16, 0.75, 0.45, 3.0, 0.28, 33, 1550),
    "B1": (0.11, 0.70, 0.45, 3.0, 0.28, 55, 1620),
    "B2": (0.14, 0.70, 0.45, 3.5, 0.28, 58, 1600),
    "B3": (0.17, 0.66, 0.45, 4.0, 0.28, 62, 1580),
    "B4": (0.19, 0.64, 0.45, 4.4, 0.28, 66, 1560),
    "B5": (0.23, 0.70, 0.50, 4.4, 0.28, 60, 1520),
    "C3": (0.18, 0.60, 0.40, 5.0, 0.30, 78, 1550),
    "C5": (0.22, 0.58, 0.40, 6.5, 0.32, 130, 1500),
    "E4": (0.27, 0.95, 0.55, 5.0, 0.35, 48, 1420),
}
FORMULATIONS: Mapping[str, Formulation] = MappingProxyType(
    {
        name: Formulation(name, phi, d * _UM, s, n / _UM**2, ratio, rubber * 1e6, matrix * 1e6)
        for name, (phi, d, s, n, ratio, rubber, matrix) in _SAMPLES.items()
    }
)
