"""An AFM that takes images, on the real wire, with a tip qualifier that finds what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from afm_bench import AfmBench, afm_bench
from numpy.typing import NDArray

from devices import TipBaseline, TipQualifier
from sim.surface import Surface, Uniform

_COMPUTE = "devices.drivers.simulated_imaging.imager.compute"
SAMPLES: Mapping[str, Surface] = {
    "A2": Uniform(33e6),
    "C3": Uniform(80e6),
    "C5": Uniform(130e6),
    "tip": Uniform(110e9),
}


@dataclass(frozen=True)
class Verdict:
    """What a `Qualifier` finds."""

    status: str = "good"
    diameter: float = 60e-9
    diameter_error: float = 0.5e-9
    change: float = float("nan")
    reason: str = ""


@dataclass
class Qualifier:
    """Finds one after the other what it is told to, then good; and remembers what it was asked."""

    verdicts: list[Verdict] = field(default_factory=list)
    images: list[NDArray[Any]] = field(default_factory=list)
    pixel_sizes: list[tuple[float, float]] = field(default_factory=list)
    baselines: list[Any] = field(default_factory=list)

    def __call__(
        self, image: NDArray[Any], pixel_size: tuple[float, float], baseline: TipBaseline | None
    ) -> Verdict:
        self.images.append(image)
        self.pixel_sizes.append(pixel_size)
        self.baselines.append(baseline)
        return self.verdicts.pop(0) if self.verdicts else Verdict()


@dataclass
class CampaignBench(AfmBench):
    """The AFM with its qualifier."""

    finds: Qualifier
    qualifier: Any  # a TipQualifier

    def find(self, *statuses: str) -> None:
        """Let the next checks find these."""
        self.finds.verdicts += [Verdict(status, reason="as it is") for status in statuses]

    @property
    def safe(self) -> bool:
        """Whether the tip is withdrawn and nothing goes on."""
        return bool(self.simulated.head.read().withdrawn)


def blank(job: Any) -> dict[str, NDArray[np.float32]]:
    """Images that cost nothing: every channel rises by 1e-10 a line."""
    frame, settings = job.order.frame, job.order.settings
    lines = np.float32(1e-10) * np.arange(frame.lines, dtype=np.float32)[:, np.newaxis]
    image = np.repeat(lines, frame.samples_per_line, axis=1)
    return {name: image.copy() for name in settings.channels}


@contextmanager
def campaign_bench(
    assets: Path,
    *,
    rate: float = 2000.0,
    compute: Callable[[Any], Any] | None = blank,
    **changes: Any,
) -> Iterator[CampaignBench]:
    """Start a server of a simulated AFM that takes images, and connect to it.

    Parameters
    ----------
    assets : Path
        Where the images are written.
    rate : float
        Instrument seconds in a real second.
    compute : callable, optional
        Makes the images; None for those of the simulator.
    **changes
        Of `afm_bench`.
    """
    with ExitStack() as stack:
        if compute is not None:
            stack.enter_context(mock.patch(_COMPUTE, compute))
        bench = stack.enter_context(afm_bench(assets, rate=rate, samples=SAMPLES, **changes))
        finds = Qualifier()
        qualifier = TipQualifier(bench.afm, finds, name="tip_qualifier")
        yield CampaignBench(**vars(bench), finds=finds, qualifier=qualifier)
