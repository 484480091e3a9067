"""The catalog of one's own, written without a request to its server.

A request costs a Tiled server tens of milliseconds of work, most of it spent on finding out what
is asked for and by whom. The archiver lives in the server's process and may do without: it gives
TiledWriter these nodes in place of Tiled's clients. They use the adapters of the server, and gather
rows and frames until `LocalContainer.flush` writes them in one piece.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import tiled
import zarr
from tiled.adapters.sql import SQLAdapter
from tiled.adapters.zarr import ZarrArrayAdapter
from tiled.client.metadata_update import apply_update_patch
from tiled.mimetypes import TILED_SQL_TABLE_MIMETYPE, ZARR_MIMETYPE
from tiled.structures.array import ArrayStructure
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import DataSource, Management
from tiled.structures.table import TableStructure
from tiled.utils import path_from_uri

from station.catalog.database import CatalogDatabase

__all__ = ["LocalContainer", "NotLocalError"]


class NotLocalError(Exception):
    """A run holds what only the server writes: arrays of changing length, or access tags."""


class _Node:
    """What TiledWriter asks of every node."""

    def __init__(
        self,
        catalog: CatalogDatabase,
        number: int,
        path: tuple[str, ...],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._catalog = catalog
        self._number = number
        self._path = path
        self.metadata = dict(metadata or {})
        self.item = {"id": path[-1]}
        self.uri = "/metadata/" + "/".join(path)

    def update_metadata(self, metadata: Mapping[str, Any], *, drop_revision: bool) -> None:
        """Merge into the metadata; no revision is kept of a node that is being written."""
        self.metadata = apply_update_patch(self.metadata, metadata)
        self._catalog.set_metadata(self._number, self.metadata)

    def close_stream(self) -> None:
        """Do nothing: nobody is told of single writes."""


class LocalContainer(_Node):
    """A container: all runs, a run, or a stream of one."""

    @classmethod
    def of(cls, catalog: CatalogDatabase, name: str) -> LocalContainer:
        """Open one of the containers of runs.

        Parameters
        ----------
        catalog : CatalogDatabase
            The catalog.
        name : str
            The container's name.

        Returns
        -------
        LocalContainer
            Its node.
        """
        number = catalog.find(name)
        if number is None:
            raise KeyError(name)
        return cls(catalog, number, (name,))

    @property
    def remote(self) -> Any:
        """The same by way of the server."""
        node = self._catalog.remote
        for key in self._path:
            node = node[key]
        return node

    @property
    def base(self) -> LocalContainer:
        """The container itself, where a client may be a view on one."""
        return self

    def include_data_sources(self) -> LocalContainer:
        """Return the container: what is to be known of data sources is known."""
        return self

    def flush(self) -> None:
        """Write what has gathered."""
        self._catalog.flush()

    def forget(self) -> None:
        """Forget what has gathered."""
        self._catalog.forget()

    def __getitem__(self, key: str) -> Any:
        """Return the client of a run, if there is such a run."""
        if self._catalog.find(key, self._number) is None:
            raise KeyError(key)
        return self.remote[key]

    def create_container(
        self,
        key: str,
        *,
        metadata: Mapping[str, Any],
        specs: Sequence[Any],
        access_tags: Sequence[str] | None,
    ) -> LocalContainer:
        """Make a container in this one."""
        number = self._add(key, StructureFamily.container, metadata, access_tags, specs)
        return LocalContainer(self._catalog, number, (*self._path, key), metadata)

    def new(
        self,
        key: str,
        *,
        structure_family: StructureFamily,
        data_sources: Sequence[DataSource],
        metadata: Mapping[str, Any],
        specs: Sequence[Any],
        access_tags: Sequence[str] | None,
    ) -> _File:
        """Make a node of files that others have written."""
        (source,) = data_sources
        number = self._add(key, structure_family, metadata, access_tags, specs)
        source_number = self._catalog.add_source(number, source)
        return _File(self._catalog, number, (*self._path, key), metadata, source_number)

    def create_appendable_table(
        self,
        schema: pa.Schema,
        key: str,
        *,
        metadata: Mapping[str, Any],
        access_tags: Sequence[str] | None,
    ) -> _Table:
        """Make a table that grows."""
        number = self._add(key, StructureFamily.table, metadata, access_tags)
        source = DataSource(
            structure_family=StructureFamily.table,
            structure=TableStructure.from_schema(schema, 1),
            mimetype=TILED_SQL_TABLE_MIMETYPE,
        )
        source = SQLAdapter.init_storage(self._catalog.tables, source, [])
        self._catalog.add_source(number, source)
        return _Table(self._catalog, number, (*self._path, key), metadata, source)

    def write_array(
        self,
        array: np.ndarray,
        *,
        key: str,
        metadata: Mapping[str, Any],
        dims: tuple[str, ...],
        access_tags: Sequence[str] | None,
    ) -> _Array:
        """Make an array that grows."""
        number = self._add(key, StructureFamily.array, metadata, access_tags)
        return _Array(self._catalog, number, (*self._path, key), metadata, array, dims)

    def write_ragged(self, *_: Any, **__: Any) -> None:
        """Refuse arrays of changing length.

        Raises
        ------
        NotLocalError
            Always.
        """
        raise NotLocalError("arrays of changing length")

    def _add(
        self,
        key: str,
        family: StructureFamily,
        metadata: Mapping[str, Any],
        access_tags: Sequence[str] | None,
        specs: Sequence[Any] = (),
    ) -> int:
        if access_tags:
            raise NotLocalError("access tags")
        return self._catalog.add_node(self._number, key, family, metadata, specs)


class _Table(_Node):
    def __init__(
        self,
        catalog: CatalogDatabase,
        number: int,
        path: tuple[str, ...],
        metadata: Mapping[str, Any],
        source: DataSource,
    ) -> None:
        super().__init__(catalog, number, path, metadata)
        self._schema = source.structure.arrow_schema_decoded
        self._adapter = SQLAdapter(
            source.assets[0].data_uri,
            source.structure,
            source.parameters["table_name"],
            source.parameters["dataset_id"],
        )
        self._rows: list[pa.Table] = []

    def append_partition(self, partition: int, table: pa.Table) -> None:
        """Append rows; the table has one partition."""
        self._rows.append(table.cast(self._schema))
        self._catalog.later(self)

    def write_gathered(self) -> None:
        """Write the rows in one piece."""
        rows, self._rows = self._rows, []
        self._adapter.append_partition(0, pa.concat_tables(rows))


class _Array(_Node):
    def __init__(
        self,
        catalog: CatalogDatabase,
        number: int,
        path: tuple[str, ...],
        metadata: Mapping[str, Any],
        array: np.ndarray,
        dims: tuple[str, ...],
    ) -> None:
        super().__init__(catalog, number, path, metadata)
        self._dims = dims
        self.dtype, self.shape = array.dtype, array.shape
        self._gathered = [array]
        self._source: DataSource | None = None
        self._source_number = -1
        self._adapter: ZarrArrayAdapter | None = None
        catalog.later(self)

    def patch(self, array: np.ndarray, offset: tuple[int, ...], *, extend: bool) -> None:
        """Append to the array: the writer never does anything else."""
        if array.dtype != self.dtype or array.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"{self._path[-1]} began as {self.dtype} {self.shape[1:]} and goes on as "
                f"{array.dtype} {array.shape[1:]}"
            )
        self._gathered.append(array)
        self.shape = (self.shape[0] + len(array), *self.shape[1:])
        self._catalog.later(self)

    def write_gathered(self) -> None:
        """Write the array, or what it has grown by, in one piece."""
        rows = np.concatenate(self._gathered)
        self._gathered = []
        if self._source is None or self._adapter is None:
            self._source = self._begin(rows)
            stored = zarr.open_array(path_from_uri(self._source.assets[0].data_uri))
            self._adapter = ZarrArrayAdapter(stored, self._source.structure)
            self._adapter.write(rows)
            self._source_number = self._catalog.add_source(self._number, self._source)
            return
        shape, chunks = self._adapter.patch(rows, (self.shape[0] - len(rows),), extend=True)
        structure = dataclasses.replace(self._source.structure, shape=shape, chunks=chunks)
        self._source = dataclasses.replace(self._source, structure=structure)
        self._catalog.set_source(self._source_number, self._source)

    def _begin(self, rows: np.ndarray) -> DataSource:
        self._catalog.clear_folder(self._path)
        source = DataSource(
            structure_family=StructureFamily.array,
            structure=ArrayStructure.from_array(rows, dims=self._dims),
            mimetype=ZARR_MIMETYPE,
        )
        return ZarrArrayAdapter.init_storage(self._catalog.arrays, source, list(self._path))


class _File(_Node):
    """Files that others write; the writer tells of their growth by a request."""

    def __init__(
        self,
        catalog: CatalogDatabase,
        number: int,
        path: tuple[str, ...],
        metadata: Mapping[str, Any],
        source: int,
    ) -> None:
        super().__init__(catalog, number, path, metadata)
        self._source_number = source
        self._source: DataSource | None = None
        self.context = SimpleNamespace(
            server_info=SimpleNamespace(library_version=tiled.__version__), http_client=self
        )

    def data_sources(self) -> list[Any]:
        """Tell the number of the data source."""
        return [SimpleNamespace(id=self._source_number)]

    def put(self, _: str, *, content: bytes, params: Mapping[str, str] | None) -> httpx.Response:
        """Take the data source as it is now."""
        values = json.loads(content)["data_source"]
        self._source = dataclasses.replace(
            DataSource.from_json(values), management=Management(values["management"])
        )
        self._catalog.later(self)
        return httpx.Response(httpx.codes.OK)

    def write_gathered(self) -> None:
        """Write the data source."""
        if self._source is not None:
            self._catalog.set_source(self._source_number, self._source)
            self._source = None
