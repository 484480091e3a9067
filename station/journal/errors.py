"""What can go wrong with a journal."""


class JournalError(RuntimeError):
    """A journal cannot be written or read; the message is one line and names the file."""


class RunNotFoundError(LookupError):
    """No run, or more than one, answers to what was asked for."""
