"""What puts the rooms together: settings, servers, RunEngine, journal, catalog, command line.

Nothing is imported here, so that ``twinscope --help`` answers at once; the modules are
`station.settings`, `station.engine`, `station.journal`, `station.catalog`, `station.report`.
"""

from __future__ import annotations

__all__ = ["StationError"]


class StationError(Exception):
    """Something that the person at the desk can put right; its text is one line."""
