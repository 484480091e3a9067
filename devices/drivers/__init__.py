"""What stands behind a server: the driver protocols, one module an instrument, and the commands."""

from __future__ import annotations

from devices.drivers.afm import AfmDrivers, afm_services
from devices.drivers.afm_protocols import (
    HeadDriver,
    HeadReading,
    MultiFrequencyLockin,
    ScannerDriver,
    ScannerReading,
)
from devices.drivers.imaging_protocols import (
    ChuckDriver,
    ChuckReading,
    ImageOrder,
    ImagingDriver,
    MountedProbe,
    ProbeExchange,
)
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
    "AfmDrivers",
    "AxisReading",
    "AxisSpecification",
    "CameraDriver",
    "CameraSettings",
    "CameraState",
    "ChuckDriver",
    "ChuckReading",
    "ColumnDriver",
    "ColumnState",
    "Frame",
    "HeadDriver",
    "HeadReading",
    "ImageOrder",
    "ImagingDriver",
    "MountedProbe",
    "MultiFrequencyLockin",
    "ProbeExchange",
    "ScannerDriver",
    "ScannerReading",
    "StageDriver",
    "StageReading",
    "afm_services",
    "tem_services",
]
