"""What stands behind a server: the driver protocols, one module an instrument, and the commands."""

from __future__ import annotations

from devices.drivers.protocols import (
    AxisReading,
    AxisSpecification,
    CameraDriver,
    CameraSettings,
    CameraState,
    ColumnDriver,
    ColumnState,
    Frame,
    StageDriver,
    StageReading,
)
from devices.drivers.tem import tem_services

__all__ = [
    "AxisReading",
    "AxisSpecification",
    "CameraDriver",
    "CameraSettings",
    "CameraState",
    "ColumnDriver",
    "ColumnState",
    "Frame",
    "StageDriver",
    "StageReading",
    "tem_services",
]
