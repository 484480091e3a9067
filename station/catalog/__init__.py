"""The catalog: the runs of the journal, to be searched and read through Tiled and databroker.

A service in a process of its own holds a Tiled server and the archiver that feeds it from the
journal. It is started on demand, listens on loopback only, and may be killed at any time: what
the catalog lacks, it gets from the journal.
"""

from station.catalog.client import (
    Catalogs,
    LazyCatalog,
    analyses_of,
    open_analysis,
    open_broker,
    open_catalog,
)
from station.catalog.control import (
    CatalogStatus,
    catalog_in_use,
    catalog_status,
    catalog_while,
    ensure_catalog,
    stop_catalog,
    wait_archived,
)
from station.catalog.documents import read_catalog_documents
from station.catalog.layout import CatalogAddress, CatalogError

__all__ = [
    "CatalogAddress",
    "CatalogError",
    "CatalogStatus",
    "Catalogs",
    "LazyCatalog",
    "analyses_of",
    "catalog_in_use",
    "catalog_status",
    "catalog_while",
    "ensure_catalog",
    "open_analysis",
    "open_broker",
    "open_catalog",
    "read_catalog_documents",
    "stop_catalog",
    "wait_archived",
]
