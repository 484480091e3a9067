"""The journal: the source of truth for every run, on the RunEngine's thread.

`Journal` is subscribed to the RunEngine and appends each document to the file of its run;
`read_documents` gives them back as they were, `list_runs` and `find_run` find them.
"""

from station.journal.errors import JournalError, RunNotFoundError
from station.journal.reader import JournalTail, read_documents
from station.journal.runs import (
    RunSummary,
    being_written,
    close_abandoned,
    find_run,
    journal_files,
    list_runs,
    summarize,
    synthesize_stop,
    try_lock,
)
from station.journal.writer import Journal, journal_file

__all__ = [
    "Journal",
    "JournalError",
    "JournalTail",
    "RunNotFoundError",
    "RunSummary",
    "being_written",
    "close_abandoned",
    "find_run",
    "journal_file",
    "journal_files",
    "list_runs",
    "read_documents",
    "summarize",
    "synthesize_stop",
    "try_lock",
]
