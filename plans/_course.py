"""What is a campaign's next step, after all that was done of it?

Images count when the next check finds the tip that made them good. A campaign that goes on after an
interruption goes through its record in the same way as through its images, so that it continues
where it would have been.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from plans._schedule import Campaign, Step
from plans._tip_result import TipResult

__all__ = ["Course", "Done"]


@dataclass(frozen=True)
class Done:
    """A step that was done.

    Parameters
    ----------
    index : int
        Of the step.
    probe : str
        Serial number of the probe.
    check : TipResult or None
        What a check of the tip found; None of an image.
    """

    index: int
    probe: str
    check: TipResult | None = None

    @classmethod
    def of_run(
        cls, start: Mapping[str, Any], stop: Mapping[str, Any], check: Mapping[str, Any] | None
    ) -> Done | None:
        """What a recorded run did of its campaign.

        Parameters
        ----------
        start, stop : mapping
            Its documents.
        check : mapping or None
            Data of its event in the stream "tip_check", if it has one.

        Returns
        -------
        Done or None
            None of a run that belongs to no campaign or did not end with its image and, of the tip
            sample, with its verdict.
        """
        step = start.get("campaign")
        told = (stop.get("num_events") or {}).get("primary", 0)
        if step is None or stop.get("exit_status") != "success" or not told:
            return None
        if step["purpose"] != "tip":
            return cls(step["index"], start["probe_serial"])
        if check is None:
            return None
        result = TipResult(
            **{name: check[key] for name, key in start["fields"]["tip_check"].items()}
        )
        return cls(step["index"], start["probe_serial"], result)


class Course:
    """A campaign on its way: `step` is the next to be done, None when the campaign is complete.

    Parameters
    ----------
    campaign : Campaign
        What is to be done.
    done : iterable of Done
        What was done of it, in any order.

    Raises
    ------
    ValueError
        A step was done twice, or one that the campaign does not have.
    """

    def __init__(self, campaign: Campaign, done: Iterable[Done] = ()) -> None:
        self._campaign = campaign
        self._record = _by_index(campaign, done)
        self._condemned: dict[str, Done] = {}
        self._baselines: dict[str, TipResult] = {}
        self._counting: list[Done] = []
        self._walk = self._segments()
        self.step: Step | None = next(self._walk)
        self._go_on()

    @property
    def condemned(self) -> Mapping[str, Done]:
        """The checks that ended the use of a probe, by its serial number."""
        return dict(self._condemned)

    @property
    def counting(self) -> tuple[Done, ...]:
        """The images that count: a check has found the tip that made them good."""
        return tuple(self._counting)

    def baseline(self, probe: str) -> TipResult | None:
        """The first good check of a probe, None before that."""
        return self._baselines.get(probe)

    def finished(self, done: Done) -> None:
        """Go on after the step that was the next.

        Raises
        ------
        ValueError
            It is not the next.
        """
        if self.step is None or done.index != self.step.index:
            raise ValueError(f"step {done.index} is done, but {self.step} is the next one")
        self._record[done.index] = done
        self._go_on()

    def _go_on(self) -> None:
        while self.step is not None and self.step.index in self._record:
            entry = self._record[self.step.index]
            if entry.check is not None and entry.check.good:
                self._baselines.setdefault(entry.probe, entry.check)
            try:
                self.step = self._walk.send(entry)
            except StopIteration:
                self.step = None

    def _segments(self) -> Generator[Step, Done, None]:
        for images, check in self._campaign.segments():
            yield from self._segment(images, check)

    def _segment(self, images: Iterable[Step], check: Step) -> Generator[Step, Done, None]:
        """Image and check until all images are by a tip that was good at the end."""
        again = self._campaign.again
        pending = list(images)
        while True:
            made: dict[Step, Done] = {}
            for step in pending:
                made[step] = yield step
            found, check = yield from self._checked(check)
            judge = found.probe if found.check is not None and found.check.good else None
            while found.check is None or not found.check.good:
                self._condemned[found.probe] = found
                found, check = yield from self._checked(check)
            self._counting += [image for image in made.values() if image.probe == judge]
            pending = [again(step) for step, image in made.items() if image.probe != judge]
            if not pending:
                return

    def _checked(self, check: Step) -> Generator[Step, Done, tuple[Done, Step]]:
        """Check the tip, once more elsewhere if the image tells nothing; and the check after."""
        found = yield check
        following = self._campaign.again(check)
        if found.check is not None and found.check.unsure:
            found = yield following
            following = self._campaign.again(following)
        return found, following


def _by_index(campaign: Campaign, done: Iterable[Done]) -> dict[int, Done]:
    record: dict[int, Done] = {}
    for entry in done:
        step = campaign.step(entry.index)
        if (step.kind == "tip") != (entry.check is not None):
            raise ValueError(
                f"step {entry.index} of {campaign.name} is of kind {step.kind!r}: its record is "
                "that of another campaign"
            )
        if entry.index in record:
            raise ValueError(f"step {entry.index} of {campaign.name} is recorded twice")
        record[entry.index] = entry
    return record
