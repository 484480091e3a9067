"""Images of samples by many probes, simulated when they are asked for.

Each probe comes out of the box and is calibrated; each image has nuisances of its own and lies on a
field of its own. A check of the tip after every 15 images keeps the tip as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from devices.drivers.simulated_imaging.probe_kinds import KINDS
from plans.scans import Scan, field_place
from sim.copolymer import FORMULATIONS, Copolymer
from sim.peakforce import (
    CHANNELS,
    ForceProbe,
    Frame,
    ImageNuisance,
    PeakForceSettings,
    scan,
)

__all__ = ["SIZE", "Shot", "SimulatedImages"]

SIZE = 4.0  # µm, of a line: the application note's
_RATE = 1.0  # Hz


@dataclass(frozen=True)
class Shot:
    """An image to be taken.

    Parameters
    ----------
    sample : str
        Of `sim.copolymer.FORMULATIONS`.
    probe : int
        Its number; another one is another probe.
    number : int
        Of the image among those of the sample with that probe.
    """

    sample: str
    probe: int
    number: int


@dataclass(frozen=True)
class SimulatedImages:
    """Images that are simulated when they are asked for; see `analysis.networks.ImageSource`.

    Parameters
    ----------
    shots : tuple of Shot
        What they are of.
    channels : tuple of str
        Of `sim.peakforce.CHANNELS`.
    lines : int
        Of an image, and points of a line.
    seed : int
        Of samples, probes and images.
    """

    shots: tuple[Shot, ...]
    channels: tuple[str, ...] = ("deformation",)
    lines: int = 64
    seed: int = 0

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of each channel."""
        return {name: CHANNELS[name] for name in self.channels}

    @property
    def shape(self) -> tuple[int, int]:
        """(lines, points) of every image."""
        return self.lines, self.lines

    @property
    def square(self) -> bool:
        """Whether an image may be turned by 90 degrees."""
        return True

    @property
    def digests(self) -> Sequence[Mapping[str, str]]:
        """What tells the pixels of each image, by channel."""
        return self._digests

    @cached_property
    def _digests(self) -> Sequence[Mapping[str, str]]:
        settings = f"{self.lines} {self.seed} {ForceProbe()} {_nuisances()}"
        told = [crc32(f"{FORMULATIONS[shot.sample]} {settings}".encode()) for shot in self.shots]
        return [
            dict.fromkeys(self.channels, f"{shot.sample}.{shot.probe}.{shot.number}.{code:08x}")
            for shot, code in zip(self.shots, told, strict=True)
        ]

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.shots)

    def images(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Return images, (n, lines, points, channels), SI units."""
        return np.stack([self._image(self.shots[index]) for index in indices])

    def _image(self, shot: Shot) -> NDArray[np.float32]:
        probe, believed = self._probe(shot.probe)
        key = [self.seed, shot.probe, shot.number, crc32(shot.sample.encode())]
        rng = np.random.default_rng(key)
        # far apart, so that no two probes see the same field
        place = field_place(shot.sample, 1000 * shot.probe + shot.number, Scan(SIZE, _RATE))
        frame = Frame(
            center=(1e-6 * place.x, 1e-6 * place.y),
            size=1e-6 * SIZE,
            lines=self.lines,
            points=self.lines,
            line_time=1 / _RATE,
        )
        surface = Copolymer(FORMULATIONS[shot.sample], self.seed)
        image = scan(surface, probe, frame, believed, rng, nuisance=ImageNuisance.drawn(rng))
        return np.stack([image[name] for name in self.channels], axis=-1)

    def _probe(self, number: int) -> tuple[ForceProbe, PeakForceSettings]:
        rng = np.random.default_rng([self.seed, number])
        probe, measured = KINDS[0].drawn(rng)
        return probe, PeakForceSettings(spring_constant=measured)


def _nuisances() -> str:
    """The figures of the simulator, on which every image depends."""
    rng = np.random.default_rng(0)
    return f"{ForceProbe.drawn(rng)} {ImageNuisance.drawn(rng)}"
