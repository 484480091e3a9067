"""Figures of intermodulation measurements: spectra, response, forces, maps.

Most are those of Borysov et al., "Reconstruction of Tip-Surface Interactions with Multimodal
Intermodulation Atomic Force Microscopy"; each function names its own. A `reference` is a force that
is known from elsewhere, such as that of a simulation, and is drawn beside what was found.
"""

from .convergence import Convergence, convergence_figure
from .forces import Force, cross_sections_figure, force_curve_figure, force_plane_figure
from .lateral import LateralForce, lateral_plane_figure, lateral_sections_figure
from .maps import Map, maps_figure
from .point import point_figure, progress_figure
from .spectra import comb_figure, powers_figure, response_figure, spectrum_figure

__all__ = [
    "Convergence",
    "Force",
    "LateralForce",
    "Map",
    "comb_figure",
    "convergence_figure",
    "cross_sections_figure",
    "force_curve_figure",
    "force_plane_figure",
    "lateral_plane_figure",
    "lateral_sections_figure",
    "maps_figure",
    "point_figure",
    "powers_figure",
    "progress_figure",
    "response_figure",
    "spectrum_figure",
]
