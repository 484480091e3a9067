"""The tables of an analysis run, as they come back from live callbacks, journals and catalogs."""

from __future__ import annotations

from typing import Any

import pytest
from event_model import compose_run, pack_event_page

from analysis._analysis_tables import AnalysisTables

Documents = list[tuple[str, dict[str, Any]]]
KEYS = {"level": {"source": "analysis", "dtype": "number", "shape": [], "units": "nm"}}


def documents(*levels: float, paged: bool = False, **stop: Any) -> Documents:
    """An analysis of this name with one table."""
    analysis = {"name": "levels", "parameters": {"least": 2}}
    run = compose_run(metadata={"analysis": analysis, "raw_uid": "raw"})
    stream: Any = run.compose_descriptor(name="level", data_keys=KEYS)
    events = [
        stream.compose_event(data={"level": level}, timestamps={"level": 0.0}) for level in levels
    ]
    rows = [("event", dict(event)) for event in events]
    if paged:
        rows = [("event_page", dict(pack_event_page(*events)))]
    descriptor = ("descriptor", dict(stream.descriptor_doc))
    ended = ("stop", dict(run.compose_stop(**stop)))
    return [("start", dict(run.start_doc)), descriptor, *rows, ended]


def read(found: Documents) -> AnalysisTables:
    return AnalysisTables.read(found, "levels", "analysis of levels")


def levels(found: Documents) -> list[float]:
    return [row["level"] for row in read(found).rows("level")]


def test_it_tells_the_raw_run_the_parameters_and_the_units() -> None:
    tables = read(documents(1.0, reason="one image is lost"))
    assert (tables.raw_uid, tables.parameters) == ("raw", {"least": 2})
    assert tables.data_keys["level"]["level"]["units"] == "nm"
    assert tables.note == "one image is lost"


def test_pages_hold_what_single_events_do() -> None:
    assert levels(documents(3.0, 1.0, paged=True)) == levels(documents(3.0, 1.0)) == [3.0, 1.0]


def test_rows_are_in_the_order_of_their_numbers_however_they_come() -> None:
    start, descriptor, first, second, stop = documents(3.0, 1.0)
    assert levels([start, descriptor, second, first, stop]) == [3.0, 1.0]


def test_a_stream_that_there_is_not_has_no_rows() -> None:
    assert read(documents(1.0)).rows("slope") == []


def test_an_analysis_that_failed_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match="the analysis failed: the disk is full"):
        read(documents(1.0, exit_status="fail", reason="the disk is full"))


def test_documents_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="these documents are no analysis of slopes"):
        AnalysisTables.read(documents(1.0), "slopes", "analysis of slopes")
