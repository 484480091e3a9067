"""Forces between a tip and a surface, as laws that compose with ``+``.

    law = VdwDmt(7.1e-20, 10e-9, 1e9) + ExponentialDamping(2.2e-7)

Every law has its formula in NumPy (`Force.components`) and the same for compiled loops
(`composed_kernel`). SI units; d is the distance to the surface and attraction is negative.
"""

from sim.forces._base import Force, Sum, composed_kernel
from sim.forces.contact import Jkr, VdwDmt
from sim.forces.dissipation import ExponentialDamping, ThresholdDamping
from sim.forces.lateral import LateralSpring, LateralWell
from sim.forces.liquid import DoubleLayerHertz
from sim.forces.potentials import LennardJones, Morse, NoForce

__all__ = [
    "DoubleLayerHertz",
    "ExponentialDamping",
    "Force",
    "Jkr",
    "LateralSpring",
    "LateralWell",
    "LennardJones",
    "Morse",
    "NoForce",
    "Sum",
    "ThresholdDamping",
    "VdwDmt",
    "composed_kernel",
]
