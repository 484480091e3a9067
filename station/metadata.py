"""Metadata that every run carries and that outlive the process: ``RE.md`` in a readable file."""

from __future__ import annotations

import copy
import fcntl
import json
import os
from collections import UserDict
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from station import StationError

__all__ = ["MetadataError", "PersistentMetadata", "package_versions"]

_PACKAGES = ("twinscope", "bluesky", "ophyd", "event-model", "numpy", "pyzmq")


class MetadataError(StationError):
    """The metadata file cannot be read or written."""


class PersistentMetadata(UserDict[str, Any]):
    """A mapping that is written to a JSON file, whole, at every change.

    Several processes may share the file: `next_scan_id` never gives a number twice, and for
    everything else the last change of a key wins.

    Parameters
    ----------
    path : Path
        The file, made with the first change.

    Raises
    ------
    MetadataError
        The file exists and is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.data = {}
        self._path = path
        self.data = self._stored()

    def __setitem__(self, key: str, item: Any) -> None:
        try:
            json.dumps(item)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"RE.md[{key!r}] must be text, a number, a list or a mapping of these: {error}"
            ) from error
        with self._locked():
            self.data = {**self._stored(), key: item}
            self._write()

    def __delitem__(self, key: str) -> None:
        with self._locked():
            self.data = self._stored()
            del self.data[key]
            self._write()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """Copy the content alone: the RunEngine copies its metadata into every start document."""
        return copy.deepcopy(self.data, memo)

    def next_scan_id(self, _md: MutableMapping[str, Any] | None = None) -> int:
        """Take the next scan number, as `RunEngine.scan_id_source`.

        Returns
        -------
        int
            One more than the last number that any process took.
        """
        with self._locked():
            self.data = self._stored()
            number = int(self.data.get("scan_id", 0)) + 1
            self.data["scan_id"] = number
            self._write()
        return number

    def _stored(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return dict(self.data)
        except (OSError, ValueError) as error:
            raise MetadataError(
                f"metadata file {self._path} cannot be read ({error}); mend it or move it away"
            ) from error
        if not isinstance(content, dict):
            raise MetadataError(f"metadata file {self._path} does not hold a JSON object")
        return content

    def _write(self) -> None:
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            with partial.open("w", encoding="utf-8") as file:
                json.dump(self.data, file, indent=2, sort_keys=True)
                file.write("\n")
            partial.replace(self._path)
        except OSError as error:
            raise MetadataError(f"metadata file {self._path} cannot be written: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_name(f".{self._path.name}.lock").open("w")
        except OSError as error:
            raise MetadataError(f"metadata file {self._path} cannot be written: {error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def package_versions() -> Mapping[str, str]:
    """Versions of the packages that shape a run's documents.

    Returns
    -------
    mapping of str to str
        Those that are installed.
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
