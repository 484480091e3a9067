"""What a probe really is, and what spoils an image beyond the noise of its force curves.

The spreads are those of a probe that was calibrated with care: spring constants by thermal noise
3-7 %, tip chemistry 8-25 % of the adhesion. From image to image the end of the tip changes as it
picks up and sheds what it touches, which the deformation feels less than the modulus that is fitted
for a sphere; the phase errs by how hard a person lets the tip tap. So on impact copolymers the
deformation is the cleanest channel (Bruker application note 155).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sim.tip import SphereCone, Tip

__all__ = ["ForceProbe", "ImageNuisance"]

_SPRING_CONSTANT_SPREAD = 0.05
_RADIUS_SPREAD = 1e-9  # m
_ADHESION_SPREAD = 0.10
_SENSITIVITY_SPREAD = 0.01
_SENSITIVITY_DRIFT = 0.02  # of an image, as the laser's spot moves on the cantilever
_TIP_END_SPREAD = 0.15  # ends of tips are no spheres: forces grow with powers 1.35 to 1.65
# Of the logarithms of the gains of modulus, adhesion, deformation, dissipation and phase. Moduli of
# one sample and one probe repeat to 10-20 %; the contrast of a phase image follows the amplitude
# and the setpoint, which are set by eye for each image.
_GAIN_SPREADS = np.array([0.15, 0.08, 0.025, 0.05, 0.30])
# A sixth of the contrast between rubber and matrix: what the tip picks up on one line and sheds on
# another shifts the phase of whole lines.
_PHASE_LINE_NOISE = math.radians(3.0)
_PHASE_DRIFT = math.radians(0.25)


@dataclass(frozen=True)
class ForceProbe:
    """A cantilever with its tip and detector as they are.

    Parameters
    ----------
    spring_constant : float
        N/m.
    tip : Tip
        That touches the sample.
    sensitivity_error : float
        By which fraction deflections are overstated.
    adhesion_factor : float
        Of the tip's chemistry: multiplies every pull-off force.
    force_noise : float
        Of a sample of the force, rms, N. 30 pm of deflection at 5 N/m within the bandwidth of a
        force curve are about 0.25 nN.
    background : float
        Largest amplitude of the deflection without contact that subtracting it leaves, times the
        spring constant, N; it comes and goes within minutes.
    synchronisation : float
        By how much the force lags behind the Z motion in the instrument's reckoning, s.
    """

    spring_constant: float = 5.0
    tip: Tip = field(default_factory=lambda: SphereCone(30e-9))
    sensitivity_error: float = 0.0
    adhesion_factor: float = 1.0
    force_noise: float = 0.25e-9
    background: float = 0.0
    synchronisation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("spring_constant", "adhesion_factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value!r} is not allowed: above 0")
        for name in ("force_noise", "background"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value!r} N is not allowed: 0 or more")
        if not abs(self.sensitivity_error) < 0.5:
            raise ValueError(
                f"sensitivity_error {self.sensitivity_error!r} is not allowed: within 0.5 of 0"
            )

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, spring_constant: float = 5.0, radius: float = 30e-9
    ) -> ForceProbe:
        """Return a probe out of the box, whose truth differs from what was told and calibrated.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws the differences.
        spring_constant : float
            As calibrated, N/m.
        radius : float
            As told by the maker, m.
        """
        stiffness, width, chemistry, sensitivity = rng.standard_normal(4)
        return cls(
            spring_constant=spring_constant * math.exp(_SPRING_CONSTANT_SPREAD * stiffness),
            tip=SphereCone(radius + _RADIUS_SPREAD * width),
            sensitivity_error=_SENSITIVITY_SPREAD * sensitivity,
            adhesion_factor=math.exp(_ADHESION_SPREAD * chemistry),
            background=0.1e-9,
            synchronisation=float(rng.normal(0.0, 50e-9)),
        )


@dataclass(frozen=True)
class ImageNuisance:
    """What is wrong with one image as a whole; the default is nothing.

    Parameters
    ----------
    modulus_gain, adhesion_gain, deformation_gain, dissipation_gain : float
        By which each channel is multiplied.
    tip_end : float
        By how much more than 1.5 is the power of the depth with which the force grows: the shape of
        a tip's very end counts where it presses in little, and not where it presses deep.
    outliers : float
        Fraction of the pixels whose modulus is off.
    outlier_spread : float
        Standard deviation of the logarithm by which it is off.
    sensitivity_drift : float
        By which fraction the deflection's sensitivity is off since it was calibrated: where the
        tip hardly presses in, as on the matrix, the modulus errs by many times as much.
    line_noise : float
        Rms of the height by which lines are shifted, m.
    phase_gain : float
        By which the contrast of a phase image is multiplied.
    phase_line_noise : float
        Rms of the phase by which lines are shifted, rad.
    phase_drift : float
        Rms of the step of the phase's random walk from line to line, rad.
    """

    modulus_gain: float = 1.0
    adhesion_gain: float = 1.0
    deformation_gain: float = 1.0
    dissipation_gain: float = 1.0
    tip_end: float = 0.0
    outliers: float = 0.0
    outlier_spread: float = 1.0
    sensitivity_drift: float = 0.0
    line_noise: float = 0.0
    phase_gain: float = 1.0
    phase_line_noise: float = 0.0
    phase_drift: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> ImageNuisance:
        """Return the nuisances of one image."""
        modulus, adhesion, deformation, dissipation, phase = np.exp(
            _GAIN_SPREADS * rng.standard_normal(5)
        )
        return cls(
            modulus_gain=float(modulus),
            adhesion_gain=float(adhesion),
            deformation_gain=float(deformation),
            dissipation_gain=float(dissipation),
            tip_end=_TIP_END_SPREAD * float(rng.standard_normal()),
            outliers=0.02,
            sensitivity_drift=float(rng.normal(0.0, _SENSITIVITY_DRIFT)),
            line_noise=0.1e-9,
            phase_gain=float(phase),
            phase_line_noise=_PHASE_LINE_NOISE,
            phase_drift=_PHASE_DRIFT,
        )
