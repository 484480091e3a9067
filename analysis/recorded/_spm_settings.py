"""What a NanoScope header says of probe, scan and analysis, in the names of our devices.

The devices of an atomic force microscope took their vocabulary from these headers, so that a file
and a run of our own answer the same questions: `mode`, `scan_rate`, `sample_points`, ...
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from ._spm_units import in_si, parse_quantity
from .channels import Setting

__all__ = ["spm_settings"]

_SWITCHES = {"yes": 1, "on": 1, "1": 1, "enabled": 1, "no": 0, "off": 0, "0": 0, "disabled": 0}
_MODES = {"PeakForce QNM", "ScanAsyst", "Tapping"}


def _text(value: str) -> Setting:
    return Setting(value)


def _number(unit: str = "", per_si: float = 1.0, bare: float = 1.0) -> Callable[[str], Setting]:
    """Read a number; `bare` is what one without a unit counts, in `unit`."""

    def read(value: str) -> Setting:
        found = parse_quantity(value)
        factor = in_si(found.unit)[1] * per_si if found.unit else bare
        return Setting(round(found.value * factor, 9), unit)

    return read


def _count(value: str) -> Setting:
    return Setting(int(value))


def _switch(value: str) -> Setting:
    return Setting(_SWITCHES[value.lower()])


def _mode(value: str) -> Setting:
    """Read ``S [SoftHarmoniX] "PeakForce QNM"``."""
    found = re.search(r'"([^"]*)"', value)
    name = value if found is None else found[1]
    return Setting(next((mode for mode in _MODES if mode in name), name))


def _ratio(value: str) -> Setting:
    """Read ``2:1``, fast over slow; NanoScope writes a bare number where lines are missing."""
    fast, found, slow = value.partition(":")
    return Setting(float(fast) / float(slow) if found else float(fast))


_MICROMETRES = _number("µm", 1e6)
_READERS: Mapping[str, tuple[str, Callable[[str], Setting]]] = {
    "@MicroscopeList": ("mode", _mode),
    "PFT Freq": ("pft_frequency", _number("Hz")),
    "Peak Force Amplitude": ("peak_force_amplitude", _number("nm")),
    "Sample Points": ("sample_points", _count),
    "Peak Force Engage Setpoint": ("peak_force_engage_setpoint", _number("V")),
    "Min Force Fit Boundary": ("min_force_fit_boundary", _number("%")),
    "Max Force Fit Boundary": ("max_force_fit_boundary", _number("%")),
    "Deformation Fit Region": ("deformation_fit_region", _number()),
    "Sample Poisson's Ratio": ("sample_poissons_ratio", _number()),
    "Tip Half Angle": ("tip_half_angle", _number("deg", bare=180.0 / math.pi)),
    "Include Adhesion Force": ("include_adhesion_force", _switch),
    "Scan Size": ("scan_size", _MICROMETRES),
    "Aspect Ratio": ("aspect_ratio", _ratio),
    "Scan Rate": ("scan_rate", _number("Hz")),
    "Lines": ("lines", _count),
    "Samps/line": ("samples_per_line", _count),
    "Rotate Ang.": ("scan_angle", _number("deg", bare=180.0 / math.pi)),
    "X Offset": ("x_offset", _MICROMETRES),
    "Y Offset": ("y_offset", _MICROMETRES),
    "Tip Radius": ("radius", _number("nm")),
    "Tip Serial Number": ("serial", _text),
    "Tip Frame Count": ("tip_frame_count", _count),
    "Tip Scanned Distance": ("tip_scanned_distance", _number("µm")),
    "Captured Automatically": ("captured_automatically", _switch),
}


def spm_settings(header: Mapping[str, str]) -> dict[str, Setting]:
    """Return what the scan list of a header says.

    Parameters
    ----------
    header : mapping of str to str
        Keys and values as written, without the backslash.

    Returns
    -------
    dict of str to Setting
        What is absent, or not to be understood, is left out.
    """
    found: dict[str, Setting] = {}
    for key, (name, read) in _READERS.items():
        text = header.get(key, "").strip()
        if not text:
            continue
        try:
            found[name] = read(text)
        except (ValueError, KeyError, ZeroDivisionError):
            continue
    return found
