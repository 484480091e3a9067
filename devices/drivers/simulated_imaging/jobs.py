"""One image of a simulated AFM, computed from all that it depends on: any thread, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.comb import FLEXURAL
from devices.drivers.imaging_protocols import ImageOrder
from devices.image_channels import PEAK_FORCE_MODES
from sim import peakforce, tapping
from sim.peakforce import ForceProbe, Frame, ImageNuisance, PeakForceSettings
from sim.surface import Surface
from sim.tapping import TappingSettings
from sim.tip import Tip

__all__ = ["Channels", "ImageJob", "TipChange", "compute"]

Channels = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TipChange:
    """A fault for tests: the tip is another one from a line of the next image on."""

    line: int
    tip: Tip


@dataclass(frozen=True)
class ImageJob:
    """All that an image depends on."""

    order: ImageOrder
    surface: Surface
    probe: ForceProbe
    frame: Frame
    nuisance: ImageNuisance
    change: TipChange | None
    key: tuple[int, ...]


def compute(job: ImageJob) -> Channels:
    """Return the channels of the mode, shape (lines, points)."""
    image, change = _image(job), job.change
    if change is not None:
        probe = replace(job.probe, tip=change.tip)
        changed = _image(replace(job, probe=probe))
        image = {
            name: np.concatenate([rows[: change.line], changed[name][change.line :]])
            for name, rows in image.items()
        }
    return {name: image[name] for name in job.order.settings.channels}


def _image(job: ImageJob) -> Channels:
    settings, rng = _believed(job.order), np.random.default_rng((*job.key, 1))
    what = (job.surface, job.probe, job.frame)
    if job.order.settings.mode in PEAK_FORCE_MODES:
        image = peakforce.scan(*what, settings, rng, nuisance=job.nuisance)
    else:
        image = tapping.phase_scan(*what, _tapping(job.order), rng, nuisance=job.nuisance)
    return image if job.order.probe.calibrated else _uncalibrated(image, settings)


def _uncalibrated(image: Channels, settings: PeakForceSettings) -> Channels:
    volts = peakforce.as_volts(image, settings)
    if "amplitude_error" in volts:
        volts["amplitude_error"] = volts["amplitude_error"] / np.float32(settings.sensitivity)
    return volts


def _tapping(order: ImageOrder) -> TappingSettings:
    settings, calibration = order.settings, order.probe.calibration
    return TappingSettings(
        frequency=calibration.resonance_frequency[0],
        quality_factor=calibration.quality_factor[0],
        free_amplitude=settings.target_amplitude,
        setpoint=settings.amplitude_setpoint,
    )


def _believed(order: ImageOrder) -> PeakForceSettings:
    """Return what the instrument is told."""
    settings, calibration = order.settings, order.probe.calibration
    return PeakForceSettings(
        frequency=settings.pft_frequency,
        amplitude=settings.peak_force_amplitude,
        setpoint=settings.peak_force_setpoint,
        sample_points=settings.sample_points,
        min_force_fit=settings.min_force_fit_boundary,
        max_force_fit=settings.max_force_fit_boundary,
        deformation_fit=settings.deformation_fit_region,
        poisson=settings.sample_poissons_ratio,
        include_adhesion=settings.include_adhesion_force,
        half_angle=settings.tip_half_angle,
        radius=calibration.radius,
        spring_constant=calibration.spring_constant[0],
        sensitivity=calibration.sensitivity[FLEXURAL],
    )
