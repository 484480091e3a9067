"""What a plan talks to: the instruments as ophyd devices.

The devices are loaded when they are asked for: an instrument's server needs `devices.wire` and
`devices.drivers`, and neither ophyd nor the second that it takes to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.approaches import Approach, Direct, OverTravel, PlayInversion
    from devices.camera import Camera
    from devices.column import Column
    from devices.goniometer import Axis, Goniometer
    from devices.locator import Locator
    from devices.microscope import Microscope
    from devices.positioning import CompensatedAxis, CompensatedStage
    from devices.status import MotionStatus, RequestStatus, combine

__all__ = [
    "Approach",
    "Axis",
    "Camera",
    "Column",
    "CompensatedAxis",
    "CompensatedStage",
    "Direct",
    "Goniometer",
    "Locator",
    "Microscope",
    "MotionStatus",
    "OverTravel",
    "PlayInversion",
    "RequestStatus",
    "combine",
]

_HOMES = {
    "Approach": "devices.approaches",
    "Axis": "devices.goniometer",
    "Camera": "devices.camera",
    "Column": "devices.column",
    "CompensatedAxis": "devices.positioning",
    "CompensatedStage": "devices.positioning",
    "Direct": "devices.approaches",
    "Goniometer": "devices.goniometer",
    "Locator": "devices.locator",
    "Microscope": "devices.microscope",
    "MotionStatus": "devices.status",
    "OverTravel": "devices.approaches",
    "PlayInversion": "devices.approaches",
    "RequestStatus": "devices.status",
    "combine": "devices.status",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'devices' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
