"""The models of a station: published once, loaded by name and version, never changed.

``<folder>/<name>/<version>/`` holds the network, what it knows of its training images, and the
card. A version appears whole or not at all, and is loaded only if its files are those of the card.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .card import CardError, ModelCard, digest, markdown

__all__ = ["CARD", "MODEL", "REFERENCE", "Registered", "Registry", "UnknownModelError"]

MODEL, REFERENCE, CARD = "model.keras", "reference.npz", "card.json"
"""The files of a version: the network, what it knows of its training images, the card."""

_PAGE = "card.md"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TRIES = 100  # versions that others publish at the same moment


class UnknownModelError(ValueError):
    """There is no such model; says which there are."""


@dataclass(frozen=True)
class Registered:
    """A version of a model in its folder.

    Parameters
    ----------
    card : ModelCard
        Its card; the files have been compared with it.
    folder : Path
        Where they are.
    """

    card: ModelCard
    folder: Path

    @property
    def model(self) -> Path:
        """The network, a ``.keras`` file."""
        return self.folder / MODEL

    @property
    def reference(self) -> Path:
        """What the network knows of its training images."""
        return self.folder / REFERENCE


class Registry:
    """A folder of models.

    Parameters
    ----------
    folder : Path
        Made when the first model is published.
    key : bytes, optional
        With which models are signed, and without whose signature none is loaded.
    """

    def __init__(self, folder: Path, key: bytes | None = None) -> None:
        self.folder = folder
        self._key = key

    def names(self) -> tuple[str, ...]:
        """Return the names of all models."""
        if not self.folder.is_dir():
            return ()
        found = (path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        return tuple(sorted(path.name for path in found if path.is_dir() and _versions(path)))

    def versions(self, name: str) -> tuple[int, ...]:
        """Return the versions of a model, the oldest first."""
        return _versions(self.folder / checked_name(name))

    def publish(self, card: ModelCard, write: Callable[[Path], object]) -> Registered:
        """Add a model as the next version of its name.

        Parameters
        ----------
        card : ModelCard
            What is known of it; version, files and signature are filled in here.
        write : callable(Path)
            Writes its files, `MODEL` and `REFERENCE`, into a folder.

        Returns
        -------
        Registered

        Raises
        ------
        ValueError
            The name is not allowed.
        """
        home = self.folder / checked_name(card.name)
        home.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".half-", dir=home))
        try:
            write(half)
            files = {path.name: digest(path) for path in sorted(half.iterdir())}
            for _ in range(_TRIES):
                version = max(_versions(home), default=0) + 1
                whole = replace(card, version=version, files=files).sealed(self._key)
                text = json.dumps(whole.to_document(), indent=1)
                (half / CARD).write_text(text, encoding="utf-8")
                (half / _PAGE).write_text(markdown(whole), encoding="utf-8")
                half.chmod(0o755)  # as any folder; the temporary one is for its owner alone
                try:
                    half.rename(home / str(version))
                except OSError:  # somebody else has published it in the meantime
                    continue
                return Registered(whole, home / str(version))
        finally:
            shutil.rmtree(half, ignore_errors=True)
        raise OSError(f"{home} takes no new version")

    def card(self, name: str, version: int | str = "latest") -> Registered:
        """Read the card of a model; its files are not looked at.

        Parameters
        ----------
        name : str
            Of the model, or ``name:version``.
        version : int or str
            A number, or ``"latest"``.

        Raises
        ------
        UnknownModelError
            There is no such model or version.
        CardError
            The card cannot be read.
        """
        name, _, given = name.partition(":")
        folder = self.folder / checked_name(name) / str(self._number(name, given or version))
        try:
            document = json.loads((folder / CARD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CardError(f"{folder / CARD} cannot be read: {error}") from error
        return Registered(ModelCard.of_document(document), folder)

    def load(self, name: str, version: int | str = "latest") -> Registered:
        """Find a model and make sure that it is what its card says.

        Parameters
        ----------
        name, version
            As of `card`.

        Raises
        ------
        UnknownModelError
            There is no such model or version.
        CardError
            A file is not that of the card, or the signature is not the station's.
        """
        found = self.card(name, version)
        told = f"{found.folder.parent.name}:{found.folder.name}"
        if found.card.reference != told:
            raise CardError(f"{found.folder / CARD} is the card of {found.card.reference}")
        for file in (MODEL, REFERENCE):
            if file not in found.card.files:
                raise CardError(f"the card of model {told} names no {file}")
        found.card.check_seal(found.folder, self._key)
        return found

    def _number(self, name: str, version: int | str) -> int:
        known = self.versions(name)
        if not known:
            there = ", ".join(self.names()) or "none"
            raise UnknownModelError(f"there is no model {name!r} in {self.folder}; known: {there}")
        if version == "latest":
            return known[-1]
        if str(version) not in map(str, known):
            told = ", ".join(map(str, known))
            raise UnknownModelError(f"model {name!r} has no version {version}; there are: {told}")
        return int(version)


def checked_name(name: str) -> str:
    """Return `name` if a model may be called so.

    Raises
    ------
    ValueError
        It may not.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"model name {name!r} is not allowed: small letters, digits, - and _, 64 at most"
        )
    return name


def _versions(home: Path) -> tuple[int, ...]:
    if not home.is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in home.iterdir() if path.name.isdecimal()))
