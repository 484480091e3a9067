"""Reading the catalog: the runs as a Tiled client and as a databroker.

Importing a Tiled client costs seconds, so that it happens when a run is first asked for, or in
the background while a console starts (`Catalogs.warm`).
"""

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from station.catalog.control import ensure_catalog
from station.catalog.layout import CatalogAddress, Layout

_log = logging.getLogger(__name__)


def connect(uri: str, api_key: str) -> Any:
    """Connect to a Tiled server.

    Parameters
    ----------
    uri : str
        Its address.
    api_key : str
        Its key.

    Returns
    -------
    tiled.client.container.Container
        The server's root.
    """
    from tiled.client import from_uri

    root = from_uri(uri, api_key=api_key, trust_env=False)
    # Every client of the catalog shares this one; its connections end with the last of them.
    weakref.finalize(root.context, root.context.http_client.close)
    return root


def open_catalog(data_dir: str | Path | Layout) -> Any:
    """Open the catalog of measurements; the service is started if none runs.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.

    Returns
    -------
    CatalogOfBlueskyRuns
        ``cat[-1]`` is the latest run, ``cat["5f3a7"]`` the one whose uid begins so, ``cat[12]``
        the one with that scan number.
    """
    return _container(ensure_catalog(data_dir), "raw")


def open_analysis(data_dir: str | Path | Layout) -> Any:
    """Open the catalog of analysis runs, as `open_catalog` does that of measurements."""
    return _container(ensure_catalog(data_dir), "analysis")


def open_broker(data_dir: str | Path | Layout) -> Any:
    """Open the catalog of measurements as a databroker.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.

    Returns
    -------
    databroker.Broker
        ``db[-1].table()`` is the latest run as a table.
    """
    return _broker(open_catalog(data_dir))


def analyses_of(data_dir: str | Path | Layout, raw_uid: str) -> list[str]:
    """List the analysis runs of a measurement.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.
    raw_uid : str
        The measurement's whole uid.

    Returns
    -------
    list of str
        Uids of the analysis runs, oldest first.
    """
    from tiled.queries import Eq

    return [str(uid) for uid in open_analysis(data_dir).search(Eq("start.raw_uid", raw_uid))]


def _container(address: CatalogAddress, name: str) -> Any:
    # Sorted by time, because a run that was sent again would else count as the latest; v3 in so
    # many words, because importing databroker changes what a catalog is by default.
    return connect(address.uri, address.api_key)[name].v3.sort(("start.time", 1))


def _broker(catalog: Any) -> Any:
    import databroker

    broker: Any = databroker.Broker
    return broker(catalog)


class LazyCatalog:
    """Stands for a catalog that is opened when it is first used.

    It follows the service: one that was restarted elsewhere is opened anew.

    Parameters
    ----------
    open_it : callable
        Takes the service's address, returns the catalog.
    layout : Layout
        The data folder.
    """

    def __init__(self, open_it: Callable[[CatalogAddress], Any], layout: Layout) -> None:
        self._open_it = open_it
        self._layout = layout
        self._lock = threading.Lock()
        self._opened: tuple[CatalogAddress, Any] | None = None

    def open(self) -> Any:
        """Open the catalog, or return the open one.

        Returns
        -------
        object
            What the proxy stands for.

        Raises
        ------
        CatalogError
            When the service does not start.
        """
        address = self._layout.running_address() or ensure_catalog(self._layout)
        with self._lock:
            if self._opened is None or self._opened[0] != address:
                self._opened = address, self._open_it(address)
            return self._opened[1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_ipython_", "_repr_", "__")):
            # What a console asks of everything must not open a catalog.
            raise AttributeError(name)
        return getattr(self.open(), name)

    def __getitem__(self, key: Any) -> Any:
        return self.open()[key]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Search, as ``db(plan_name="scan")`` does."""
        return self.open()(*args, **kwargs)

    def __len__(self) -> int:
        return len(self.open())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self.open())

    def __contains__(self, key: Any) -> bool:
        return key in self.open()

    def __dir__(self) -> list[str]:
        opened = self._opened
        return dir(opened[1]) if opened else ["open"]

    def __repr__(self) -> str:
        return repr(self.open())


class Catalogs:
    """The catalogs of a data folder, for a console: opened on first use or in the background.

    Parameters
    ----------
    data_dir : str or Path
        The data folder.

    Attributes
    ----------
    cat : LazyCatalog
        The measurements, as a Tiled client.
    db : LazyCatalog
        The measurements, as a databroker.
    analysis : LazyCatalog
        The analysis runs, as a Tiled client.
    """

    def __init__(self, data_dir: str | Path | Layout) -> None:
        self._layout = layout = Layout.of(data_dir)
        self.cat = LazyCatalog(lambda address: _container(address, "raw"), layout)
        self.analysis = LazyCatalog(lambda address: _container(address, "analysis"), layout)
        self.db = LazyCatalog(lambda address: _broker(_container(address, "raw")), layout)

    def warm(self) -> threading.Thread:
        """Start the service and open the catalogs in the background.

        Returns
        -------
        threading.Thread
            A daemon thread; it ends when all is open. What fails is logged, and fails again, in
            the open, when a catalog is used.
        """
        thread = threading.Thread(target=self._warm, name="catalog-warming", daemon=True)
        thread.start()
        return thread

    def _warm(self) -> None:
        try:
            for catalog in (self.cat, self.db, self.analysis):
                catalog.open()
        except Exception as error:
            if threading.main_thread().is_alive():  # else nobody is left to use it
                _log.warning("the catalog is not ready: %s", error)
