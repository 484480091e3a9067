"""How an image lies in its file, so that a person who has nothing else can read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from devices._record_writer import Layout
from devices.image_channels import CHANNELS

__all__ = ["image_layout"]

_GEOMETRY = {
    "scan_size": "scan_size_m",
    "aspect_ratio": "aspect_ratio",
    "scan_angle": "scan_angle_rad",
    "x_offset": "x_offset_m",
    "y_offset": "y_offset_m",
}
_SETTINGS = {
    "peak_force_setpoint": "peak_force_setpoint_N",
    "pft_frequency": "pft_frequency_Hz",
    "peak_force_amplitude": "peak_force_amplitude_m",
    "sample_points": "sample_points",
    "min_force_fit_boundary": "min_force_fit_boundary",
    "max_force_fit_boundary": "max_force_fit_boundary",
    "deformation_fit_region": "deformation_fit_region",
    "sample_poissons_ratio": "sample_poissons_ratio",
    "tip_half_angle": "tip_half_angle_rad",
    "include_adhesion_force": "include_adhesion_force",
    "target_amplitude": "target_amplitude_m",
    "amplitude_setpoint": "amplitude_setpoint",
}


def image_layout(values: Mapping[str, Any], keys: Mapping[str, str]) -> Layout:
    """Return a dataset a channel, with its unit, whether it is calibrated, and where it lies.

    Parameters
    ----------
    values : mapping
        What the server says of the image.
    keys : mapping of str to str
        Data key of each channel.
    """
    frame, settings = values["frame"], values["settings"]
    calibrated = bool(values["calibrated"])
    height = frame["scan_size"] / frame["aspect_ratio"]
    geometry = {
        **{written: frame[name] for name, written in _GEOMETRY.items()},
        "scan_height_m": height,
        "pixel_size_m": [height / frame["lines"], frame["scan_size"] / frame["samples_per_line"]],
    }
    attributes = {
        key: {
            "units": values["units"][name],
            "calibrated": calibrated,
            "long_name": CHANNELS[name].long_name,
            "dims": ["image", "line", "point"],
            "orientation": "line 0 is the first, at -y; point 0 is at -x",
            **geometry,
        }
        for name, key in keys.items()
    }
    began = datetime.fromtimestamp(values["start_time"], UTC)
    entry = {
        "mode": settings["mode"],
        "calibrated": calibrated,
        "sample": values["sample"],
        "probe_serial": values["serial"],
        "start_time": began.isoformat(timespec="milliseconds"),
        "lines": frame["lines"],
        "samples_per_line": frame["samples_per_line"],
        "scan_rate_Hz": frame["scan_rate"],
        **geometry,
        **{written: settings[name] for name, written in _SETTINGS.items()},
    }
    datasets = {key: f"/entry/{name}" for name, key in keys.items()}
    return Layout(datasets, attributes, entry)
