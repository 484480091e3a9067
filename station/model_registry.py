"""Where the models of a station are, and the secret that it signs them with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from station import StationError
from station.settings import Settings

if TYPE_CHECKING:
    from analysis.networks.registry import Registry

__all__ = ["KeyFileError", "models_folder", "read_key", "registry_of"]

_LEAST_KEY = 16  # bytes: fewer can be guessed


class KeyFileError(StationError):
    """The file of the secret cannot be used."""


def registry_of(settings: Settings) -> Registry:
    """Return the models of a station: those in its data folder, with its key."""
    from analysis.networks.registry import Registry

    section = settings.networks
    key = None if section.key is None else read_key(section.key)
    return Registry(models_folder(settings), key)


def read_key(path: Path) -> bytes:
    """Read the secret that models are signed with.

    Raises
    ------
    KeyFileError
        The file holds none, or cannot be read.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise KeyFileError(f"key {path} cannot be read: {error.strerror}") from error
    if len(key) < _LEAST_KEY:
        raise KeyFileError(f"key {path} has {len(key)} bytes: {_LEAST_KEY} or more are needed")
    return key


def models_folder(settings: Settings) -> Path:
    """Return where the models of a station are."""
    return settings.networks.models or settings.data / "models"
