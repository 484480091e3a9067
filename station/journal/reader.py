"""Reading a journal: documents in the order in which they were emitted.

A file that is still being written, or whose writer was killed in the middle of a line, ends with
an incomplete line; that tail was never a document and is left alone. Anything else that does not
fit its checksum is damage, and is reported with file and line number.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from station.journal.codec import LineError, decode_line
from station.journal.errors import JournalError

Document = tuple[str, dict[str, Any]]


class JournalTail:
    """Reads a journal file as it grows.

    Parameters
    ----------
    path : Path
        The journal file of one run.

    Attributes
    ----------
    offset : int
        Bytes of the file that have been read as whole documents.
    crc : int
        CRC-32 of those bytes.
    inode : int
        The file that was read; 0 before the first read. A file that was put in its place is not
        read on from the middle: it takes a new reader.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.crc = 0
        self.inode = 0
        self._line = 0

    def read(self, most: int | None = None) -> Iterator[Document]:
        """Yield the documents written since the last call.

        Parameters
        ----------
        most : int, optional
            Stop after so many documents.

        Yields
        ------
        name : str
            Name of the document.
        doc : dict
            The document.

        Raises
        ------
        JournalError
            When a line is damaged or the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if self.inode not in (0, inode):
                    return
                self.inode = inode
                file.seek(self.offset)
                while most is None or most > 0:
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        return
                    document = self._decode(line)
                    self.offset += len(line)
                    self.crc = zlib.crc32(line, self.crc)
                    self._line += 1
                    most = None if most is None else most - 1
                    yield document
        except OSError as error:
            raise JournalError(f"cannot read {self.path}: {error.strerror}") from error

    def _decode(self, line: bytes) -> Document:
        try:
            return decode_line(line)
        except LineError as error:
            raise JournalError(
                f"{self.path}, line {self._line + 1} is damaged: {error}; restore the file from a "
                "copy, or remove the lines from there on to keep what stands before"
            ) from error


def read_documents(path: str | Path) -> Iterator[Document]:
    """Iterate over the documents of a journalled run, in the order of emission.

    Parameters
    ----------
    path : str or Path
        The journal file, as `find_run` returns it.

    Yields
    ------
    name : str
        ``"start"``, ``"descriptor"``, ``"event"``, ``"stream_datum"``, ..., ``"stop"``.
    doc : dict
        The document, bit for bit as it was emitted (tuples have become lists).

    Raises
    ------
    JournalError
        When the file cannot be read, or one of its lines is damaged.
    """
    yield from JournalTail(Path(path)).read()


def read_first(path: Path) -> Document | None:
    """Read the first document only; None where there is no whole first line."""
    return next(JournalTail(path).read(1), None)


def read_last(path: Path) -> Document | None:
    """Read the last whole line only; None where there is none or it is no document."""
    chunk, data = 4096, b""
    try:
        with path.open("rb") as file:
            position = file.seek(0, 2)
            while position > 0 and data.rstrip(b"\n").count(b"\n") < 2:
                step = min(chunk, position)
                position -= step
                file.seek(position)
                data = file.read(step) + data
                chunk *= 4
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error
    whole, _, _ = data.rpartition(b"\n")
    try:
        return decode_line(whole.rpartition(b"\n")[2])
    except LineError:
        return None
