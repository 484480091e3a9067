"""What would a run of spectra take? Its pixels, time and data before anything is done."""

from __future__ import annotations

from dataclasses import dataclass

from plans.combs import Excitation

__all__ = ["SpectraEstimate"]

_BYTES = 16  # of a complex number


@dataclass(frozen=True)
class SpectraEstimate:
    """What a run of spectra would take.

    Parameters
    ----------
    acquisitions, pixels : int
        Acquisitions, and their pixels altogether.
    duration : float
        Seconds of the acquisitions: flying back, finding the drive and the approach come on top.
    tones : int
        Measured a pixel.
    data_mb : float
        Size of the spectra, MB.
    """

    acquisitions: int
    pixels: int
    duration: float
    tones: int
    data_mb: float

    @classmethod
    def of(cls, excitation: Excitation, acquisitions: int, pixels: int) -> SpectraEstimate:
        """Estimate `acquisitions` of `pixels` each."""
        total = acquisitions * pixels
        megabytes = 1e-6 * total * excitation.tones * _BYTES
        return cls(acquisitions, total, total * excitation.pixel_s, excitation.tones, megabytes)

    def __str__(self) -> str:
        return (
            f"{self.acquisitions} acquisitions, {self.pixels} spectra of {self.tones} tones in "
            f"{self.duration:.3g} s or more, flying back, drive and approach on top; "
            f"{self.data_mb:.3g} MB"
        )
