"""What a plan talks to: the instruments as ophyd devices.

The devices are loaded when they are asked for: an instrument's server needs `devices.wire` and
`devices.drivers`, and neither ophyd nor the second that it takes to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.afm import Afm
    from devices.approaches import Approach, Direct, OverTravel, PlayInversion
    from devices.camera import Camera
    from devices.chuck import Chuck
    from devices.column import Column
    from devices.comb import Comb, CombLimits
    from devices.goniometer import Axis, Goniometer
    from devices.head import Head
    from devices.imager import Imager
    from devices.imaging_settings import ImagingSettings
    from devices.locator import Locator
    from devices.lockin import Lockin
    from devices.microscope import Microscope
    from devices.positioning import CompensatedAxis, CompensatedStage
    from devices.probe import Probe
    from devices.probe_calibration import ProbeCalibration
    from devices.scan_frame import ScanFrame
    from devices.scanner import Scanner
    from devices.status import MotionStatus, RequestStatus, combine
    from devices.tip_qualifier import TipBaseline, TipQualifier, TipVerdict

__all__ = [
    "Afm",
    "Approach",
    "Axis",
    "Camera",
    "Chuck",
    "Column",
    "Comb",
    "CombLimits",
    "CompensatedAxis",
    "CompensatedStage",
    "Direct",
    "Goniometer",
    "Head",
    "Imager",
    "ImagingSettings",
    "Locator",
    "Lockin",
    "Microscope",
    "MotionStatus",
    "OverTravel",
    "PlayInversion",
    "Probe",
    "ProbeCalibration",
    "RequestStatus",
    "ScanFrame",
    "Scanner",
    "TipBaseline",
    "TipQualifier",
    "TipVerdict",
    "combine",
]

_HOMES = {
    "Afm": "devices.afm",
    "Approach": "devices.approaches",
    "Axis": "devices.goniometer",
    "Camera": "devices.camera",
    "Chuck": "devices.chuck",
    "Column": "devices.column",
    "Comb": "devices.comb",
    "CombLimits": "devices.comb",
    "CompensatedAxis": "devices.positioning",
    "CompensatedStage": "devices.positioning",
    "Direct": "devices.approaches",
    "Goniometer": "devices.goniometer",
    "Head": "devices.head",
    "Imager": "devices.imager",
    "ImagingSettings": "devices.imaging_settings",
    "Locator": "devices.locator",
    "Lockin": "devices.lockin",
    "Microscope": "devices.microscope",
    "MotionStatus": "devices.status",
    "OverTravel": "devices.approaches",
    "PlayInversion": "devices.approaches",
    "Probe": "devices.probe",
    "ProbeCalibration": "devices.probe_calibration",
    "RequestStatus": "devices.status",
    "ScanFrame": "devices.scan_frame",
    "Scanner": "devices.scanner",
    "TipBaseline": "devices.tip_qualifier",
    "TipQualifier": "devices.tip_qualifier",
    "TipVerdict": "devices.tip_qualifier",
    "combine": "devices.status",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'devices' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
