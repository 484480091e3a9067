"""The database and the storage behind the catalog's server, for who writes without a request.

What is written is what the server would write: rows of its tables (`tiled.catalog.orm`), changed in
one transaction between two calls of `CatalogDatabase.flush`.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from sqlalchemy import create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from tiled.catalog import orm
from tiled.catalog.utils import compute_structure_id
from tiled.storage import parse_storage, register_storage
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Asset, DataSource
from tiled.utils import safe_json_dump

from station.catalog.layout import Layout

__all__ = ["CatalogDatabase", "Gathering"]

_NODES: Any = orm.Node.__table__
_STRUCTURES: Any = orm.Structure.__table__
_SOURCES: Any = orm.DataSource.__table__
_ASSETS: Any = orm.Asset.__table__
_ASSOCIATIONS: Any = orm.DataSourceAssetAssociation.__table__
_ROOT = 0  # the number that Tiled gives the root of every catalog
_LOCKED_S = 30.0  # the server writes, too: when a run is deleted, or an operator writes


class Gathering(Protocol):
    """A node that gathers data until they are written."""

    def write_gathered(self) -> None:
        """Write what has gathered."""


class CatalogDatabase:
    """The database and the storage behind the catalog's server. For one thread at a time.

    Parameters
    ----------
    layout : Layout
        The data folder; its database exists.
    connect : callable
        Returns the root by way of the server, for what is done seldom: deleting a run.
    """

    def __init__(self, layout: Layout, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.tables: Any = parse_storage(f"duckdb:///{layout.tables}")
        self.arrays = parse_storage(str(layout.arrays))
        for storage in (self.tables, self.arrays):
            register_storage(storage)
        self._folder = layout.arrays
        self._engine = create_engine(
            f"sqlite:///{layout.database}",
            json_serializer=lambda value: safe_json_dump(value).decode(),
            connect_args={"timeout": _LOCKED_S},
        )
        event.listen(self._engine, "connect", _enforce_foreign_keys)
        self._connection = self._engine.connect()
        self._waiting: dict[Gathering, None] = {}

    @cached_property
    def remote(self) -> Any:
        """The root by way of the server."""
        return self._connect()

    def find(self, key: str, parent: int = _ROOT) -> int | None:
        """Tell the number of a node; None where there is none."""
        chosen = (_NODES.c.parent == parent) & (_NODES.c.key == key)
        return self._connection.execute(select(_NODES.c.id).where(chosen)).scalar()

    def later(self, leaf: Gathering) -> None:
        """Note that a node has something to write with the next `flush`."""
        self._waiting[leaf] = None

    def flush(self) -> None:
        """Write what has gathered; readers see it from now on."""
        for leaf in self._waiting:
            leaf.write_gathered()
        self._waiting.clear()
        self._connection.commit()

    def forget(self) -> None:
        """Forget what has gathered since the last `flush`, after an error."""
        self._waiting.clear()
        self._connection.rollback()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        self._engine.dispose()

    def clear_folder(self, path: Sequence[str]) -> None:
        """Remove the array that a killed service left where a new node keeps its own."""
        shutil.rmtree(self._folder.joinpath(*path), ignore_errors=True)

    def add_node(
        self,
        parent: int,
        key: str,
        family: StructureFamily,
        metadata: Mapping[str, Any],
        specs: Sequence[Any] = (),
    ) -> int:
        """Add a node; return its number."""
        values = {
            "parent": parent,
            "key": key,
            "structure_family": family,
            "metadata": metadata,
            "specs": [dataclasses.asdict(spec) for spec in specs],
        }
        return self._insert(_NODES, values)

    def set_metadata(self, node: int, metadata: Mapping[str, Any]) -> None:
        """Replace the metadata of a node."""
        chosen = _NODES.update().where(_NODES.c.id == node)
        self._connection.execute(chosen.values({"metadata": metadata}))

    def add_source(self, node: int, source: DataSource) -> int:
        """Add the data source of a node; return its number."""
        values = {"node_id": node, "management": source.management, **self._content(source)}
        number = self._insert(_SOURCES, values)
        self._add_assets(number, source.assets)
        return number

    def set_source(self, number: int, source: DataSource) -> None:
        """Bring a data source up to date, with the files that have been added."""
        chosen = _SOURCES.update().where(_SOURCES.c.id == number)
        self._connection.execute(chosen.values(self._content(source)))
        self._add_assets(number, source.assets)

    def _content(self, source: DataSource) -> dict[str, Any]:
        structure = source.structure
        if dataclasses.is_dataclass(structure):
            structure = json.loads(safe_json_dump(structure))
        number = compute_structure_id(structure)
        adding = insert(_STRUCTURES).values(id=number, structure=structure)
        self._connection.execute(adding.on_conflict_do_nothing(index_elements=["id"]))
        return {
            "structure_id": number,
            "structure_family": source.structure_family,
            "mimetype": source.mimetype,
            "parameters": source.parameters,
            "properties": source.properties,
        }

    def _add_assets(self, source: int, assets: Sequence[Asset]) -> None:
        for asset in assets:
            chosen = select(_ASSETS.c.id).where(_ASSETS.c.data_uri == asset.data_uri)
            number = self._connection.execute(chosen).scalar()
            if number is None:
                values = {
                    "data_uri": asset.data_uri,
                    "is_directory": asset.is_directory,
                    "size": asset.size,
                }
                number = self._insert(_ASSETS, values)
            key = {"data_source_id": source, "asset_id": number}
            if self._connection.execute(select(_ASSOCIATIONS).filter_by(**key)).first() is None:
                values = {**key, "parameter": asset.parameter, "num": asset.num}
                self._connection.execute(_ASSOCIATIONS.insert().values(values))

    def _insert(self, table: Any, values: Mapping[str, Any]) -> int:
        result: Any = self._connection.execute(table.insert().values(values))
        (number,) = result.inserted_primary_key
        return number


def _enforce_foreign_keys(connection: Any, _: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
