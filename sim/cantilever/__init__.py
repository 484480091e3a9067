"""A cantilever with several modes, driven by a comb of tones over a surface.

`ExactEngine` follows the motion to any accuracy, `FastEngine` follows thousands of pixels faster
than a microscope measures them, `EnvelopeEngine` follows only the slow envelope. All give the same
`Spectra`; `free_spectra` is the motion without a surface, `paper` holds the published cases, and
`noise` what temperature and detector add.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sim.cantilever.model import (
    Cantilever,
    Drive,
    Engine,
    Mode,
    Spectra,
    Tones,
    free_spectra,
)

if TYPE_CHECKING:
    from sim.cantilever.envelope import EnvelopeEngine
    from sim.cantilever.exact import ExactEngine
    from sim.cantilever.fast import FastEngine
    from sim.cantilever.noise import add_noise, thermal_noise, tone_noise

__all__ = [
    "Cantilever",
    "Drive",
    "Engine",
    "EnvelopeEngine",
    "ExactEngine",
    "FastEngine",
    "Mode",
    "Spectra",
    "Tones",
    "add_noise",
    "free_spectra",
    "thermal_noise",
    "tone_noise",
]

_HOMES = {
    "EnvelopeEngine": "sim.cantilever.envelope",
    "ExactEngine": "sim.cantilever.exact",
    "FastEngine": "sim.cantilever.fast",
    "add_noise": "sim.cantilever.noise",
    "thermal_noise": "sim.cantilever.noise",
    "tone_noise": "sim.cantilever.noise",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sim.cantilever' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
