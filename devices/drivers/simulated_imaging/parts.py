"""The parts of a simulated AFM that takes images, put together."""

from __future__ import annotations

from collections.abc import Mapping

from devices.comb import Comb
from devices.drivers.simulated_afm_motion import SimulatedChuck
from devices.drivers.simulated_imaging.imager import ImagingStage, SimulatedImager
from devices.drivers.simulated_imaging.probes import ImagingParameters, SimulatedProbes
from sim.surface import Surface

__all__ = ["SimulatedImaging"]

_DF = 200.0  # Hz, as of the comb of other probes


class SimulatedImaging:
    """The parts that an AFM has which takes images.

    Parameters
    ----------
    stage : ImagingStage
        Where it takes them.
    samples : mapping of str to Surface
        What the chuck carries.
    parameters : ImagingParameters, optional
        The kind of probe.
    seed : int
        Of probes and images.
    """

    def __init__(
        self,
        stage: ImagingStage,
        samples: Mapping[str, Surface],
        parameters: ImagingParameters | None,
        seed: int,
    ) -> None:
        parameters = ImagingParameters() if parameters is None else parameters
        self.chuck = SimulatedChuck(stage.truth, samples, stage.clock)
        self.probes = SimulatedProbes(stage.truth, parameters, seed)
        self.imager = SimulatedImager(stage, self.probes, seed)
        self.imager.warm_up(samples.values())

    @property
    def comb(self) -> Comb:
        """A comb of 24 tones about each mode of the probe, of which none is driven."""
        modes = self.probes.mounted.calibration.resonance_frequency
        middles = [round(frequency / _DF) for frequency in modes]
        bands = (range(middle - 12, middle + 12) for middle in middles)
        return Comb(df=_DF, tones=tuple(tone for band in bands for tone in band))
