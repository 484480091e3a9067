"""The card of a model: where it comes from, what it is for, what it must be fed, and its seal.

Who uses a model has to know on what it was trained and how well it did (Mitchell et al., Model
cards for model reporting, FAT* 2019), and that the files are those of the card. An image that is
not of the model's kind is refused here, before a network answers it all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .prediction import ModelTerms

__all__ = [
    "CardError",
    "DataFacts",
    "ModelCard",
    "ModelInputs",
    "SplitFacts",
    "digest",
    "hash_of_split",
    "markdown",
]

_SIZE_TOLERANCE = 0.01  # of the frame: what scanners are calibrated to
_BLOCK = 1 << 20  # bytes read at once


class CardError(ValueError):
    """A card cannot be read, or its seal does not hold; one line."""


@dataclass(frozen=True)
class ModelInputs:
    """What a model must be fed.

    Parameters
    ----------
    channels : tuple of str
        In the order of the network's input.
    units : mapping of str to str
        Of each channel.
    size_um : float
        Length of a line of the frame, µm.
    shape : tuple of int
        Lines and points.
    """

    channels: tuple[str, ...]
    units: Mapping[str, str]
    size_um: float
    shape: tuple[int, int]


@dataclass(frozen=True)
class DataFacts:
    """The data set that a model was made from.

    Parameters
    ----------
    content_hash : str
        Of pixels and provenance.
    images : int
        So many.
    samples, probes, sessions : tuple of str
        That they were taken of, with and in.
    """

    content_hash: str
    images: int
    samples: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitFacts:
    """Which runs the model was trained, chosen and judged by.

    Parameters
    ----------
    train, validation, test : tuple of str
        Uids of runs.
    hash : str
        See `hash_of_split`.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    hash: str


@dataclass(frozen=True)
class ModelCard:
    """A model as the registry knows it.

    Parameters
    ----------
    name : str
        Of the model.
    version : int
        From 1 on.
    created : str
        When, ISO 8601, UTC.
    task : str
        ``"classification"`` or ``"regression"``.
    architecture : str
        Name of the network.
    outputs : tuple of str
        Names of the classes, or of the properties.
    inputs : ModelInputs
        What it must be fed.
    data : DataFacts
        What it was made from.
    split : SplitFacts
        How that was divided.
    seed : int
        Of the training.
    code_version : str
        Of twinscope.
    libraries : mapping of str to str
        Versions of what trained it.
    metrics : mapping of str to float
        How well it did on the test part.
    temperature : float
        By which its logits are divided; 1 for properties.
    intended_use, limits : str
        What it is for, and where it is of no use.
    files : mapping of str to str
        sha256 of each file beside the card.
    signature : str
        HMAC-SHA256 of the card with the station's key; empty without one.
    """

    name: str
    version: int
    created: str
    task: str
    architecture: str
    outputs: tuple[str, ...]
    inputs: ModelInputs
    data: DataFacts
    split: SplitFacts
    seed: int
    code_version: str
    libraries: Mapping[str, str]
    metrics: Mapping[str, float]
    temperature: float = 1.0
    intended_use: str = ""
    limits: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    signature: str = ""

    @property
    def reference(self) -> str:
        """Name and version, as ``icp:3``."""
        return f"{self.name}:{self.version}"

    @property
    def terms(self) -> ModelTerms:
        """What is told of the model with each of its predictions."""
        return ModelTerms(self.reference, self.inputs.channels, self.outputs, self.task)

    def check_stream(
        self, channels: Iterable[str], units: Mapping[str, str], size_um: float
    ) -> None:
        """Refuse images that are not of the model's kind.

        Parameters
        ----------
        channels : iterable of str
            That the images have.
        units : mapping of str to str
            Of each channel.
        size_um : float
            Length of a line, µm.

        Raises
        ------
        ValueError
            One line: what the model wants and what the images are.
        """
        has, inputs = tuple(channels), self.inputs
        for name in inputs.channels:
            if name not in has:
                told = ", ".join(has) or "no channels"
                raise ValueError(f"model {self.reference} wants {name}; the image has {told}")
            wanted, given = inputs.units[name], units.get(name, "")
            if given != wanted:
                remedy = "; calibrate the probe" if given.startswith("V") else ""
                raise ValueError(
                    f"model {self.reference} wants {name} in {wanted}; the image has it in "
                    f"{given or 'no unit'}{remedy}"
                )
        if not abs(size_um - inputs.size_um) <= _SIZE_TOLERANCE * inputs.size_um:
            raise ValueError(
                f"model {self.reference} was trained on frames of {inputs.size_um:g} µm; the image "
                f"is of {size_um:g} µm"
            )

    def sealed(self, key: bytes | None) -> ModelCard:
        """Return the card with its signature by `key`; unsigned without one."""
        bare = replace(self, signature="")
        return bare if key is None else replace(bare, signature=_signature(bare, key))

    def check_seal(self, folder: Path, key: bytes | None) -> None:
        """Refuse a model whose files are not those of the card, or which another has signed.

        Parameters
        ----------
        folder : Path
            Where the files are.
        key : bytes or None
            The station's; with it an unsigned model is refused as well.

        Raises
        ------
        CardError
            Says what does not match.
        """
        for file, known in self.files.items():
            path = folder / file
            if not path.is_file():
                raise CardError(f"model {self.reference}: {path} is missing")
            if not hmac.compare_digest(digest(path), known):
                raise CardError(f"model {self.reference}: {path} is not the file of its card")
        if key is None:
            return
        if not self.signature:
            raise CardError(f"model {self.reference} is not signed, and this station has a key")
        if not hmac.compare_digest(self.signature, _signature(replace(self, signature=""), key)):
            raise CardError(f"model {self.reference} is not signed with the key of this station")

    def to_document(self) -> dict[str, Any]:
        """Return the card as JSON has it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> ModelCard:
        """Read a card back.

        Raises
        ------
        CardError
            If it is none.
        """
        try:
            given = dict(document)
            inputs, data, split = (dict(given.pop(key)) for key in ("inputs", "data", "split"))
            inputs["shape"] = tuple(int(n) for n in inputs["shape"])
            given["outputs"] = tuple(given["outputs"])
            return cls(
                inputs=ModelInputs(**_tuples(inputs)),
                data=DataFacts(**_tuples(data)),
                split=SplitFacts(**_tuples(split)),
                **given,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CardError(f"this is no card of a model: {error!r}") from error


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples."""
    return {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}


def _signature(card: ModelCard, key: bytes) -> str:
    text = json.dumps(card.to_document(), sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def hash_of_split(train: Iterable[str], validation: Iterable[str], test: Iterable[str]) -> str:
    """Return a hash of which runs are in which part, whatever their order."""
    parts = [sorted(part) for part in (train, validation, test)]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


def markdown(card: ModelCard) -> str:
    """Return the card as a page for people."""
    inputs, data, split = card.inputs, card.data, card.split
    channels = ", ".join(f"{name} ({inputs.units[name]})" for name in inputs.channels)
    lines, points = inputs.shape
    libraries = ", ".join(f"{name} {version}" for name, version in card.libraries.items())
    rows = [
        ("task", f"{card.task}: {', '.join(card.outputs)}"),
        ("network", card.architecture),
        ("input", f"{channels}; {lines} x {points} pixels, {inputs.size_um:g} µm"),
        ("data set", f"{data.images} images, hash `{data.content_hash[:16]}`"),
        ("samples", ", ".join(data.samples)),
        ("probes", ", ".join(data.probes)),
        ("sessions", ", ".join(data.sessions)),
        (
            "split",
            f"{len(split.train)} training, {len(split.validation)} validation, "
            f"{len(split.test)} test runs, hash `{split.hash[:16]}`",
        ),
        ("seed", str(card.seed)),
        ("temperature", f"{card.temperature:.3g}"),
        *((name.replace("_", " "), f"{value:.4g}") for name, value in card.metrics.items()),
        ("made with", f"twinscope {card.code_version}; {libraries}"),
        ("signed", "with the station's key" if card.signature else "no"),
    ]
    table = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(
        [
            f"# Model {card.reference}",
            "",
            f"Made {card.created}.",
            "",
            "| | |",
            "|---|---|",
            *table,
            "",
            f"**Intended use.** {card.intended_use or 'Not told.'}",
            "",
            f"**Limits.** {card.limits or 'Not told.'}",
            "",
        ]
    )
