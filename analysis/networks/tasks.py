"""What is asked of the images: the tables of Bruker application note 155, and one that must fail.

The note tells three and five copolymers apart (figs. 2 and 3) and predicts bulk properties of five
and of nine (figs. 4 and 5). With labels that are shuffled nothing can be learnt: what is then above
chance is a leak from the training part to the test part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .channels import CLASSIFICATION, REGRESSION

__all__ = ["PROPERTIES", "TASKS", "Task", "task_named"]

THREE = ("A2", "C3", "C5")
FIVE = ("A2", "B3", "B4", "C3", "C5")
NINE = ("A2", "B1", "B2", "B3", "B4", "B5", "C3", "C5", "E4")

PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "notched_izod": "J/m",
        "flexural_modulus": "MPa",
        "young_modulus": "MPa",
        "yield_strength": "MPa",
        "ultimate_elongation": "%",
    }
)
"""Bulk properties and the unit of their figures."""


@dataclass(frozen=True)
class Task:
    """One question asked of images.

    Parameters
    ----------
    name : str
        By which it is chosen.
    title : str
        In words.
    kind : str
        ``classification`` or ``regression``.
    samples : tuple of str
        Whose images are used; the classes of a classification.
    properties : tuple of str
        Of a regression.
    shuffled : bool
        Whether labels are exchanged among the fields, so that nothing can be learnt.
    """

    name: str
    title: str
    kind: str
    samples: tuple[str, ...]
    properties: tuple[str, ...] = ()
    shuffled: bool = False

    @property
    def is_classification(self) -> bool:
        """Whether classes are asked for, not values."""
        return self.kind == CLASSIFICATION

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the classes, or of the properties."""
        return self.samples if self.is_classification else self.properties


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task("three-way", "three samples", CLASSIFICATION, THREE),
            Task("five-way", "five samples", CLASSIFICATION, FIVE),
            Task(
                "five-properties",
                "bulk properties of five samples",
                REGRESSION,
                FIVE,
                tuple(PROPERTIES),
            ),
            Task(
                "nine-properties",
                "bulk properties of nine samples",
                REGRESSION,
                NINE,
                tuple(PROPERTIES),
            ),
            Task("shuffled", "three samples, labels shuffled", CLASSIFICATION, THREE, (), True),
        )
    }
)
"""The tasks by name."""


def task_named(name: str) -> Task:
    """Return the task of that name.

    Raises
    ------
    ValueError
        There is none.
    """
    if name not in TASKS:
        raise ValueError(f"no task {name!r}: choose of {', '.join(TASKS)}")
    return TASKS[name]
