"""In which order does a campaign image which fields?

The campaign alone tells, so that a resumed one makes the same steps. Some samples take turns, then
comes the tip sample: the routine of Bruker's application note 155, "PeakForce QNM Imaging".
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any, Literal
from uuid import uuid4

from analysis.sequential import StoppingRule
from plans._checks import checked_count, not_negative, positive
from plans.scans import Place, Scan, field_place

__all__ = ["TIP_SCAN", "Campaign", "Step"]

Kind = Literal["image", "tip"]
_SCAN = Scan(4.0, 1.0)  # the application note's: 4 µm at 1 to 1.5 Hz
# Faster, the feedback misses the flanks of a sharp tip sample by half of the setpoint.
TIP_SCAN = Scan(2.5, 0.5, 256, 512, aspect=2.0)
_ORDERS = ("interleaved", "random", "by sample")


@dataclass(frozen=True)
class Step:
    """One image of a campaign.

    Parameters
    ----------
    index : int
        Of the step; one that repeats step i of a schedule of n steps for the a-th time has the
        index ``a * n + i``.
    kind : str
        ``image``: of a sample; ``tip``: of the tip sample, to check the tip.
    place : Place
        Its field, which no other step has.
    number : int
        Of the image among those of its sample, or of the check among the checks; a repetition has
        the number of what it repeats.
    attempt : int
        0 as scheduled, 1 for the first repetition, ...
    """

    index: int
    kind: Kind
    place: Place
    number: int
    attempt: int = 0


@dataclass(frozen=True)
class Campaign:
    """Images of several samples with one way of imaging, and checks of the tip among them.

    Parameters
    ----------
    samples : tuple of str
        Names of positions of the chuck.
    images : int
        Of each sample; with a rule, at most.
    scan : Scan
        Of the samples.
    tip_scan : Scan
        Of the tip sample.
    tip_every : int
        Images after which the tip is checked; the last ones are always followed by a check.
    tip_first : bool
        Whether the tip is checked before the first image too: its baseline.
    order : str
        ``interleaved``: `together` samples in turn until the tip is checked, then the next
        samples, round after round; ``random``: shuffled by `seed`; ``by sample``: all images of a
        sample, then the next sample.
    together : int
        Samples in turn between two checks.
    seed : int
        Of the random order.
    mode, tip_mode : str
        Of imaging the samples and the tip sample, as of `plans.image`.
    setpoint, tip_setpoint : float
        Peak force, nN.
    tip_sample : str
        Name of the tip sample's position.
    margin : float
        Between neighbouring fields, µm: more than a chuck misses its target by.
    rule : StoppingRule or None
        When a sample needs no more images, as its class is certain or the probe tells no more of
        it; the tip is then checked after `tip_every` images that were taken, not that were
        scheduled. None: each has all its images.
    name : str
        For people.
    uid : str
        Of this campaign; a resumed one has the same.

    Raises
    ------
    ValueError
        What makes no campaign.
    """

    samples: tuple[str, ...]
    images: int = 45
    scan: Scan = _SCAN
    tip_scan: Scan = TIP_SCAN
    tip_every: int = 15
    tip_first: bool = True
    order: str = "interleaved"
    together: int = 3
    seed: int = 0
    mode: str = "PeakForce QNM"
    tip_mode: str = "ScanAsyst"
    setpoint: float = 30.0
    tip_setpoint: float = 10.0
    tip_sample: str = "tip"
    margin: float = 6.0
    rule: StoppingRule | None = None
    name: str = "campaign"
    uid: str = field(default_factory=lambda: str(uuid4()))

    def __post_init__(self) -> None:
        if isinstance(self.samples, str):
            raise ValueError(f"samples is {self.samples!r}: give a sequence of names")
        object.__setattr__(self, "samples", tuple(self.samples))
        if not self.samples or len(set(self.samples)) != len(self.samples):
            raise ValueError(f"samples {list(self.samples)}: name each once, and one or more")
        if self.tip_sample in self.samples:
            raise ValueError(f"{self.tip_sample!r} is the tip sample: it is not to be imaged too")
        for name in ("images", "tip_every", "together"):
            checked_count(name, getattr(self, name))
        checked_count("seed", self.seed, least=0)
        if self.order not in _ORDERS:
            raise ValueError(f"order is {self.order!r}: choose one of {', '.join(_ORDERS)}")
        positive("setpoint", self.setpoint, "nN")
        positive("tip_setpoint", self.tip_setpoint, "nN")
        not_negative("margin", self.margin, "µm")
        if self.rule is not None and self.rule.least > self.images:
            raise ValueError(
                f"images is {self.images}: the rule needs at least {self.rule.least} of a sample"
            )

    def schedule(self) -> tuple[Step, ...]:
        """The steps in their order, as they are if every check finds the tip good.

        With a rule, those that there are if no class is ever certain.
        """
        return self._steps

    def step(self, index: int) -> Step:
        """The step of an index, which may be that of a repetition.

        Raises
        ------
        ValueError
            No such index.
        """
        attempt, scheduled = divmod(checked_count("index", index, least=0), len(self._steps))
        return self._repeated(self._steps[scheduled], attempt)

    def again(self, step: Step) -> Step:
        """The next repetition of a step, at a field of its own."""
        return self._repeated(step, step.attempt + 1)

    def scan_of(self, step: Step) -> Scan:
        """How a step is scanned."""
        return self.scan if step.kind == "image" else self.tip_scan

    def to_document(self) -> dict[str, Any]:
        """The campaign as a start document has it; see `of_document`."""
        return {**asdict(self), "samples": list(self.samples)}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Campaign:
        """The campaign that `to_document` told of."""
        told: dict[str, Any] = {name: Scan(**document[name]) for name in ("scan", "tip_scan")}
        if document.get("rule") is not None:  # campaigns of old have none
            told["rule"] = StoppingRule.of_document(document["rule"])
        return cls(**{**document, **told})

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        kinds = list(self._kinds())
        of_sample: dict[str, count[int]] = {}
        steps = []
        for index, (kind, sample) in enumerate(kinds):
            number = next(of_sample.setdefault(sample, count()))
            steps.append(Step(index, kind, self._place(kind, sample, number), number))
        return tuple(steps)

    def _kinds(self) -> Iterator[tuple[Kind, str]]:
        """Kind and sample of every step, in order."""
        if self.tip_first:
            yield "tip", self.tip_sample
        last = len(self.samples) * self.images
        for done, sample in enumerate(self._order(), start=1):
            yield "image", sample
            if done % self.tip_every == 0 or done == last:
                yield "tip", self.tip_sample

    def _order(self) -> Sequence[str]:
        if self.order == "by sample":
            return [sample for sample in self.samples for _ in range(self.images)]
        if self.order == "random":
            drawn = random.Random(self.seed)
            every = [sample for sample in self.samples for _ in range(self.images)]
            # Sorted by drawn keys: Python keeps `random` as it is between versions, not `shuffle`.
            return sorted(every, key=lambda _: drawn.random())
        return list(self._in_turn())

    def _in_turn(self) -> Iterator[str]:
        each = max(1, self.tip_every // min(self.together, len(self.samples)))
        for first in range(0, self.images, each):
            for group in range(0, len(self.samples), self.together):
                for _ in range(min(each, self.images - first)):
                    yield from self.samples[group : group + self.together]

    def _repeated(self, step: Step, attempt: int) -> Step:
        field_number = step.number + attempt * self._planned[step.place.sample]
        place = self._place(step.kind, step.place.sample, field_number)
        index = step.index % len(self._steps) + attempt * len(self._steps)
        return replace(step, index=index, place=place, attempt=attempt)

    @cached_property
    def _planned(self) -> dict[str, int]:
        """Steps of every sample in the schedule: its fields from there on are for repetitions."""
        planned = dict.fromkeys((*self.samples, self.tip_sample), 0)
        for step in self._steps:
            planned[step.place.sample] += 1
        return planned

    def _place(self, kind: Kind, sample: str, field_number: int) -> Place:
        scan = self.scan if kind == "image" else self.tip_scan
        return field_place(sample, field_number, scan, self.margin)
