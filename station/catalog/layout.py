"""Where the catalog keeps its things in the data folder, and who may hold its lock.

The lock tells whether a service runs: the kernel frees it with the process, so that a file left
by a crashed service is never mistaken for a running one.
"""

import fcntl
import json
import os
import secrets
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from station.journal import try_lock


class CatalogError(RuntimeError):
    """The catalog cannot do what was asked; the message is one line."""


@dataclass(frozen=True)
class CatalogAddress:
    """Where a running catalog service listens.

    Attributes
    ----------
    uri : str
        Address of the Tiled server, on loopback.
    api_key : str
        The key that it asks for.
    pid : int
        The service's process.
    """

    uri: str
    api_key: str = field(repr=False)
    pid: int


@dataclass(frozen=True)
class Layout:
    """The folders and files of one data folder.

    Attributes
    ----------
    data : Path
        The data folder, absolute.
    """

    data: Path

    @classmethod
    def of(cls, data_dir: "str | Path | Layout") -> "Layout":
        """Take the data folder's path, or a layout as it is."""
        return data_dir if isinstance(data_dir, Layout) else cls(Path(data_dir).absolute())

    @property
    def journal(self) -> Path:
        """The journal: the source of truth."""
        return self.data / "journal"

    @property
    def assets(self) -> Path:
        """Files of images and spectra, which the catalog refers to."""
        return self.data / "assets"

    @property
    def catalog(self) -> Path:
        """All that the catalog service writes; can be made again from the journal."""
        return self.data / "catalog"

    @property
    def states(self) -> Path:
        """One file a run: how far it is archived."""
        return self.catalog / "state"

    @property
    def database(self) -> Path:
        """The catalog's SQLite database."""
        return self.catalog / "catalog.db"

    @property
    def tables(self) -> Path:
        """The events, in DuckDB."""
        return self.catalog / "tables.duckdb"

    @property
    def arrays(self) -> Path:
        """Arrays that came inside events."""
        return self.catalog / "arrays"

    @property
    def log(self) -> Path:
        """The service's log."""
        return self.catalog / "service.log"

    @property
    def lock(self) -> Path:
        """Held by the running service; holds its process number."""
        return self.catalog / "service.lock"

    @property
    def address(self) -> Path:
        """Where the running service listens."""
        return self.catalog / "service.json"

    @property
    def last_address(self) -> Path:
        """Where the service before this one listened."""
        return self.catalog / "service.last.json"

    @property
    def key(self) -> Path:
        """The server's key, for its owner's eyes only."""
        return self.catalog / "key"

    def prepare(self) -> None:
        """Make the folders that are missing.

        Raises
        ------
        CatalogError
            When the data folder cannot be written.
        """
        try:
            for folder in (self.journal, self.assets, self.catalog, self.arrays, self.states):
                folder.mkdir(parents=True, exist_ok=True)
            self.catalog.chmod(0o700)
        except OSError as error:
            raise CatalogError(
                f"cannot write the catalog in {self.catalog}: {error.strerror}; make the folder "
                "writable or choose another data folder"
            ) from error

    def running_pid(self) -> int | None:
        """Tell the process number of the running service; None when none runs."""
        try:
            with self.lock.open("rb") as file:
                if try_lock(file.fileno(), fcntl.LOCK_SH):
                    return None
                return int(file.read() or 0) or None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def running_address(self) -> CatalogAddress | None:
        """Tell where the running service listens; None when none is ready."""
        pid = self.running_pid()
        content = None if pid is None else read_json(self.address)
        if pid is None or content is None or content["pid"] != pid:
            return None
        return CatalogAddress(content["uri"], self.api_key(), pid)

    def shared_server(self) -> str | None:
        """Tell the address of a Tiled server that several stations share; None for one's own.

        It stands in ``tiled.toml`` in the data folder, with the file that holds the key::

            uri = "http://tiled.example.org:8000"
            api_key_file = "/home/operator/.tiled-key"

        Raises
        ------
        CatalogError
            When the file cannot be understood.
        """
        content = self._shared()
        return None if content is None else content["uri"].rstrip("/")

    def _shared(self) -> dict[str, str] | None:
        path = self.data / "tiled.toml"
        if not path.exists():
            return None
        try:
            content = tomllib.loads(path.read_text())
            return {"uri": content["uri"], "api_key_file": content["api_key_file"]}
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise CatalogError(
                f"{path} must give uri and api_key_file of a Tiled server ({error}); remove it to "
                "use a server of one's own"
            ) from error

    def publish(self, uri: str) -> None:
        """Tell the world that this process listens at an address."""
        write_json(self.address, {"uri": uri, "pid": os.getpid()})

    def api_key(self) -> str:
        """Read the server's key; that of one's own is drawn at random the first time."""
        shared = self._shared()
        if shared is not None:
            return Path(shared["api_key_file"]).expanduser().read_text().strip()
        if not self.key.exists():
            temporary = self.key.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with open(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            temporary.replace(self.key)
        return self.key.read_text().strip()


@dataclass(frozen=True)
class RunState:
    """How far a run is archived.

    Attributes
    ----------
    state : str
        ``"partial"``, ``"archived"``, or ``"aside"`` for a run that cannot be archived.
    inode, mtime_ns, size : int
        The journal file that was read, and how much of it (bytes).
    crc : int
        CRC-32 of what was read.
    reason : str
        Why the run is set aside.
    """

    state: str
    inode: int = 0
    mtime_ns: int = 0
    size: int = 0
    crc: int = 0
    reason: str = ""

    def fits(self, stat: os.stat_result) -> bool:
        """Tell whether the journal file is the one that this state was made for."""
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size) == (
            self.inode,
            self.mtime_ns,
            self.size,
        )


def read_state(layout: Layout, uid: str) -> RunState | None:
    """Read the state of a run; None where the archiver has not seen it, or cannot read its note."""
    content = read_json(layout.states / f"{uid}.json")
    try:
        return None if content is None else RunState(**content)
    except TypeError:  # written by another version: the run is archived again
        return None


def write_state(layout: Layout, uid: str, state: RunState) -> None:
    """Replace the state of a run in one step."""
    write_json(layout.states / f"{uid}.json", asdict(state))


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a small file of ours; None where it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a small file in one step."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
