"""What is a campaign's next step, after all that was done of it?

Images count when the next check finds the tip that made them good. A campaign that goes on after an
interruption goes through its record in the same way as through its images, so that it continues
where it would have been. A campaign with a rule leaves the images of a sample out as soon as its
class is certain, or the probe has told all that it can; when a check finds the tip bad, what its
images told is forgotten with them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.sequential import Decision
from plans._deciding import STREAM, ClassResult, decide
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
    prediction : ClassResult or None
        What a network says of an image; None where none was asked, or it failed.
    """

    index: int
    probe: str
    check: TipResult | None = None
    prediction: ClassResult | None = None

    @classmethod
    def of_run(
        cls,
        start: Mapping[str, Any],
        stop: Mapping[str, Any],
        check: Mapping[str, Any] | None,
        prediction: Mapping[str, Any] | None = None,
    ) -> Done | None:
        """What a recorded run did of its campaign.

        Parameters
        ----------
        start, stop : mapping
            Its documents.
        check : mapping or None
            Data of its event in the stream "tip_check", if it has one.
        prediction : mapping or None
            Data of its event in the stream "prediction", if it has one.

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
            found = None
            if prediction is not None:
                keys, classes = start["fields"][STREAM], start["classifier"]["classes"]
                found = ClassResult.of_event(prediction, keys, classes)
            return cls(step["index"], start["probe_serial"], prediction=found)
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
        self._counting: dict[Step, Done] = {}
        self._unjudged: dict[Step, Done] = {}
        self._known: dict[str, Decision] = {}
        self._probe = ""  # of the last step
        self._following: Step | None = None  # the next repetition of the last check
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
        return tuple(self._counting.values())

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """Of which class each sample is, as far as is known by now; empty without a rule.

        Of a campaign that is complete, by the images that count.
        """
        if self._campaign.rule is None:
            return {}
        return {sample: self._decided(sample) for sample in self._campaign.samples}

    @property
    def predictions(self) -> tuple[ClassResult, ...]:
        """What was said of the images, whether they count or not."""
        every = (done.prediction for done in self._record.values())
        return tuple(prediction for prediction in every if prediction is not None)

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
            if entry.probe != self._probe:
                self._probe = entry.probe
                self._known.clear()
            if entry.check is not None and entry.check.good:
                self._baselines.setdefault(entry.probe, entry.check)
            try:
                self.step = self._walk.send(entry)
            except StopIteration:
                self.step = None

    def _segments(self) -> Generator[Step, Done, None]:
        steps = self._campaign.schedule()
        images = [step for step in steps if step.kind == "image"]
        checks = (step for step in steps if step.kind == "tip")
        if self._campaign.tip_first:
            yield from self._segment([], next(checks))
        while self._first_wanted(images) is not None:
            # a new probe may call for images when all scheduled checks are made
            check = next(checks, None) or self._following
            assert check is not None
            images = (yield from self._segment(images, check)) + images

    def _segment(self, images: list[Step], check: Step) -> Generator[Step, Done, list[Step]]:
        """Image and check until all images are by a tip that was good at the end.

        What it takes it takes out of `images`. Returns the repetitions that nobody wants now.
        """
        again = self._campaign.again
        repetitions: list[Step] = []
        yield from self._imaged(images)
        while True:
            found, check = yield from self._checked(check)
            judge = found.probe if found.check is not None and found.check.good else None
            while found.check is None or not found.check.good:
                self._condemned[found.probe] = found
                found, check = yield from self._checked(check)
            lost = self._judged(judge)
            repetitions = [again(step) for step in lost] + repetitions
            if self._first_wanted(repetitions) is None:
                return repetitions
            yield from self._imaged(repetitions)

    def _judged(self, probe: str | None) -> list[Step]:
        """Have the images of a probe count; returns the others, which are lost."""
        made, self._unjudged = self._unjudged, {}
        self._known.clear()
        self._counting |= {step: done for step, done in made.items() if done.probe == probe}
        return [step for step, done in made.items() if done.probe != probe]

    def _imaged(self, images: list[Step]) -> Generator[Step, Done, None]:
        """Take the images that are wanted, until the tip is to be checked."""
        while len(self._unjudged) < self._campaign.tip_every:
            step = self._first_wanted(images)
            if step is None:
                return
            images.remove(step)
            self._unjudged[step] = yield step
            self._known.pop(step.place.sample, None)

    def _first_wanted(self, images: Iterable[Step]) -> Step | None:
        """The first image of a sample that is not settled."""
        return next((step for step in images if not self._is_settled(step.place.sample)), None)

    def _is_settled(self, sample: str) -> bool:
        if self._campaign.rule is None:
            return False
        return self._decided(sample).settled

    def _decided(self, sample: str) -> Decision:
        assert self._campaign.rule is not None
        if sample not in self._known:
            known = {**self._counting, **self._unjudged}
            told = [image for step, image in known.items() if step.place.sample == sample]
            predictions = [(image.probe, image.prediction) for image in told]
            self._known[sample] = decide(self._campaign.rule, predictions, self._probe)
        return self._known[sample]

    def _checked(self, check: Step) -> Generator[Step, Done, tuple[Done, Step]]:
        """Check the tip, once more elsewhere if the image tells nothing; and the check after."""
        found = yield check
        following = self._campaign.again(check)
        if found.check is not None and found.check.unsure:
            found = yield following
            following = self._campaign.again(following)
        self._following = following
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
