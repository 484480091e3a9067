"""What a detector needs to write its arrays beside the documents: a file a staging, and a thread.

The file is made with the first record, and made anew with each record while no document points into
it: shapes and settings may change until then.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from devices.frames import RecordFile
from devices.wire import BusyError, RefusedError

__all__ = ["Layout", "Record", "RecordWriter"]

Record = Mapping[str, NDArray[Any]]
"""An array for each data key."""


@dataclass(frozen=True)
class Layout:
    """How records lie in a file; see `RecordFile`.

    Parameters
    ----------
    datasets : mapping of str to str
        Path in the file of each data key.
    attributes : mapping of str to mapping
        Of the dataset of each data key.
    entry : mapping
        Attributes of the whole.
    """

    datasets: Mapping[str, str]
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)


class RecordWriter:
    """Writes records of one detector; any thread.

    Parameters
    ----------
    name : str
        Of the detector.
    what : str
        What it records, for messages: ``"images"``.
    folder : Path or None
        Where the files go.
    """

    def __init__(self, name: str, what: str, folder: Path | None) -> None:
        self._name = name
        self._what = what
        self._folder = folder
        self._file: RecordFile | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._open = False

    @property
    def recording(self) -> bool:
        """Whether events of a run point to records."""
        return self._file is not None and self._file.told

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes records: its descriptor would be wrong.

        Raises
        ------
        BusyError
            Tells what to do.
        """
        if self.recording:
            raise BusyError(
                f"{what} cannot change while a run writes {self._what}: end the run, then set it"
            )

    def refuse_homeless(self) -> None:
        """Refuse to begin where there is nowhere to write.

        Raises
        ------
        RefusedError
            Tells what to do.
        """
        if self._folder is None:
            raise RefusedError(
                f"{self._name} has no folder for its {self._what}: give its instrument an "
                "asset_folder"
            )

    def begin(self) -> None:
        """Take records from now on, in a new file."""
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._open = True

    def end(self) -> None:
        """Write what has come, and close the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)
        self._open = False
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def thread(self) -> ThreadPoolExecutor:
        """Return the thread of the present run, which writes what is asked for now.

        Raises
        ------
        RefusedError
            When there is none: nobody would write what is measured.
        """
        if self._thread is None:
            raise RefusedError(
                f"{self._name} is not staged: trigger it in a run, for example "
                f"RE(count([{self._name.replace('_', '.', 1)}]))"
            )
        return self._thread

    def submit(
        self,
        thread: ThreadPoolExecutor,
        write: Callable[[], object],
        failed: Callable[[Exception], object],
    ) -> None:
        """Call `write` on `thread`; if the run of that is over, `failed` with the reason."""
        try:
            thread.submit(write)
        except RuntimeError:
            failed(RefusedError(f"{self._name}: the {self._what} came after the run"))

    def append(self, record: Record, layout: Layout) -> None:
        """Write a record.

        Raises
        ------
        RefusedError
            When it comes after the end.
        ValueError
            When it does not fit those that documents point to.
        """
        folder = self._folder
        if folder is None or not self._open:
            raise RefusedError(f"{self._name}: the {self._what} came after the run")
        file = self._file
        if file is not None and not file.told:
            file.discard()
            file = None
        if file is None:
            file = self._file = self._new_file(folder, layout)
        file.append(record)

    def collect(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the record written last is."""
        if self._file is not None:
            yield from self._file.collect()

    def _new_file(self, folder: Path, layout: Layout) -> RecordFile:
        name = f"{time.strftime('%H%M%S')}-{self._name}-{uuid.uuid4().hex[:8]}.h5"
        return RecordFile(
            folder / time.strftime("%Y/%m/%d") / name,
            layout.datasets,
            layout.attributes,
            layout.entry,
        )
