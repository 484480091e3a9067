"""A query over the runs of a station becomes a set of the images that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_model import compose_run
from image_runs import ImageRun, campaign_of, hash_of, texture
from tiled.queries import Eq

from plans import Campaign
from plans.scans import Scan
from station.catalog import ensure_catalog, open_catalog, stop_catalog, wait_archived
from station.datasets import (
    DatasetError,
    ImageQuery,
    SampleSummary,
    collect,
    collect_catalog,
    find_images,
    summary,
)
from station.journal import Journal
from station.settings import Settings

Document = tuple[str, dict[str, Any]]


def recorded(folder: Path, runs: Sequence[Sequence[Document]]) -> Settings:
    """Write runs to the journal of a station."""
    with Journal(folder / "journal") as journal:
        for run in runs:
            for name, doc in run:
                journal(name, doc)
    return Settings(data=folder)


def of_campaign(folder: Path, campaign: Campaign, verdicts: Mapping[int, str]) -> list[Any]:
    """Make the runs of a campaign whose checks of the tip, by their index, found what is told."""
    runs = []
    for step in campaign.schedule():
        told = {
            "uid": campaign.uid,
            "name": campaign.name,
            "index": step.index,
            "purpose": "tip" if step.kind == "tip" else "sample",
            "definition": campaign.to_document(),
        }
        if step.kind == "tip":
            runs.append(tip_check(told, verdicts.get(step.index, "good")))
        else:
            run = ImageRun(
                folder,
                sample=step.place.sample,
                number=step.number,
                data={"deformation": texture(hash_of(campaign.name, step.index))},
                told={"campaign": told},
            )
            runs.append(run.documents())
    return runs


def tip_check(campaign: Mapping[str, Any], status: str) -> list[Document]:
    """Make the run of a check of the tip."""
    found: dict[str, Any] = {
        "status": status,
        "diameter": 60.0,
        "diameter_error": 0.5,
        "change": 0.0,
        "reason": "",
    }
    run = compose_run(
        metadata={
            "plan_name": "tip_check",
            "technique": "scanasyst",
            "sample": "tip",
            "probe_serial": "P1",
            "campaign": campaign,
            "fields": {"tip_check": {name: name for name in found}},
        }
    )
    documents: list[Document] = [("start", dict(run.start_doc))]
    for stream, data in (("primary", {"time": 1.0}), ("tip_check", found)):
        keys = {
            name: {"source": "test", "dtype": "string" if value in (status, "") else "number"}
            for name, value in data.items()
        }
        bundle = run.compose_descriptor(
            stream,
            {name: {**key, "shape": []} for name, key in keys.items()},
            object_keys={"tip_qualifier": list(keys)},
            configuration={},
            hints={},
        )
        documents.append(("descriptor", dict(bundle.descriptor_doc)))
        event = bundle.compose_event(data=data, timestamps=dict.fromkeys(data, 1.0))
        documents.append(("event", dict(event)))
    documents.append(("stop", dict(run.compose_stop())))
    return documents


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    runs = campaign_of(tmp_path, ("A2", "C5"), sessions=2, images=2)
    return recorded(tmp_path, [run.documents() for run in runs])


def found_samples(settings: Settings, query: ImageQuery) -> list[str]:
    return [run.start["sample"] for run in find_images(settings, query)]


class TestQuery:
    def test_all_images_are_found_unless_samples_are_named(self, settings: Settings):
        assert sorted(found_samples(settings, ImageQuery())) == ["A2"] * 4 + ["C5"] * 4

    def test_images_of_named_samples_are_found(self, settings: Settings):
        assert found_samples(settings, ImageQuery(("C5",))) == ["C5"] * 4

    def test_images_of_a_probe_are_found(self, settings: Settings):
        found = find_images(settings, ImageQuery(probe="P2"))
        assert {run.start["session"] for run in found} == {"2026-01-02 P2"}

    def test_images_of_a_session_are_found(self, settings: Settings):
        assert len(find_images(settings, ImageQuery(session="2026-01-01 P1"))) == 4

    def test_runs_that_did_not_end_well_are_left_out(self, tmp_path: Path):
        runs = [
            ImageRun(tmp_path, number=number, data={"deformation": texture(number)}, status=status)
            for number, status in enumerate(("success", "abort", None, "fail"))
        ]
        settings = recorded(tmp_path, [run.documents() for run in runs])
        assert [run.start["field"] for run in find_images(settings, ImageQuery())] == [0]

    def test_other_techniques_are_left_out(self, tmp_path: Path):
        runs = [
            ImageRun(tmp_path, technique="tapping", number=1, data={"phase": texture(1)}),
            ImageRun(tmp_path),
        ]
        settings = recorded(tmp_path, [run.documents() for run in runs])
        found = find_images(settings, ImageQuery(technique="tapping"))
        assert [run.start["field"] for run in found] == [1]

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            (
                ImageQuery(("X9",)),
                r"no images to choose \(technique peakforce_qnm; samples X9\)",
            ),
            (ImageQuery(("A2", "X9")), "has no images of X9"),
            (ImageQuery(campaign="none"), "campaign none"),
            (ImageQuery(technique="tapping"), "technique tapping"),
        ],
    )
    def test_what_is_not_there_is_told_in_a_line(
        self, settings: Settings, query: ImageQuery, told: str
    ):
        with pytest.raises(DatasetError, match=told) as refused:
            find_images(settings, query)
        assert "\n" not in str(refused.value)

    def test_samples_are_a_sequence(self):
        with pytest.raises(ValueError, match="give a sequence of names"):
            ImageQuery("A2")  # type: ignore[arg-type]


class TestCampaign:
    CAMPAIGN = Campaign(
        ("A2", "C5"), images=2, scan=Scan(4.0, 1.0, 16, 16), tip_every=2, name="first", uid="first"
    )

    def checks(self) -> list[int]:
        return [step.index for step in self.CAMPAIGN.schedule() if step.kind == "tip"]

    def test_images_that_a_good_tip_made_count(self, tmp_path: Path):
        settings = recorded(tmp_path, of_campaign(tmp_path, self.CAMPAIGN, {}))
        assert len(find_images(settings, ImageQuery(campaign="first"))) == 4

    def test_images_before_a_check_that_found_a_worn_tip_do_not_count(self, tmp_path: Path):
        last = self.checks()[-1]
        settings = recorded(tmp_path, of_campaign(tmp_path, self.CAMPAIGN, {last: "worn"}))
        assert len(find_images(settings, ImageQuery())) == 2

    def test_they_are_there_when_asked_for(self, tmp_path: Path):
        last = self.checks()[-1]
        settings = recorded(tmp_path, of_campaign(tmp_path, self.CAMPAIGN, {last: "worn"}))
        assert len(find_images(settings, ImageQuery(only_counting=False))) == 4

    def test_it_is_told_that_no_tip_was_good(self, tmp_path: Path):
        verdicts = dict.fromkeys(self.checks()[1:], "worn")
        settings = recorded(tmp_path, of_campaign(tmp_path, self.CAMPAIGN, verdicts))
        with pytest.raises(DatasetError, match="after them no check has found their tip good"):
            find_images(settings, ImageQuery())

    def test_a_campaign_is_found_by_name_and_uid(self, tmp_path: Path):
        other = replace(self.CAMPAIGN, name="second", uid="another")
        runs = [
            run
            for campaign in (self.CAMPAIGN, other)
            for run in of_campaign(tmp_path, campaign, {})
        ]
        settings = recorded(tmp_path, runs)
        for name in ("second", "anoth"):
            found = find_images(settings, ImageQuery(campaign=name))
            assert {run.start["campaign"]["uid"] for run in found} == {"another"}

    def test_images_of_no_campaign_count_too(self, tmp_path: Path):
        runs = [*of_campaign(tmp_path, self.CAMPAIGN, {}), ImageRun(tmp_path).documents()]
        assert len(find_images(recorded(tmp_path, runs), ImageQuery())) == 5


class TestCollect:
    def test_a_set_has_the_images_of_the_query(self, settings: Settings, tmp_path: Path):
        found = collect(settings, ImageQuery(("C5",)), ("deformation",), tmp_path / "set.h5")
        assert found.labels() == ("C5",) * 4
        expected = texture(hash_of("C5", 1, 1))
        np.testing.assert_array_equal(found.images()[-1, ..., 0], expected)

    def test_its_records_name_the_runs(self, settings: Settings, tmp_path: Path):
        found = collect(settings, ImageQuery(), ("deformation",), tmp_path / "set.h5")
        uids = [run.uid for run in find_images(settings, ImageQuery())]
        assert [record.run_uid for record in found.records] == uids

    def test_progress_knows_how_many_there_are(self, settings: Settings, tmp_path: Path):
        told: list[tuple[int, int]] = []
        collect(
            settings,
            ImageQuery(("A2",)),
            ("deformation",),
            tmp_path / "set.h5",
            progress=lambda done, of: told.append((done, of)),
        )
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_a_run_that_makes_no_set_is_told_as_an_error_of_the_station(
        self, settings: Settings, tmp_path: Path
    ):
        with pytest.raises(DatasetError, match=r"has no channel adhesion: it has deformation"):
            collect(settings, ImageQuery(), ("adhesion",), tmp_path / "set.h5")
        assert not (tmp_path / "set.h5").exists()

    def test_a_damaged_journal_is_told_with_its_file(self, settings: Settings, tmp_path: Path):
        run = find_images(settings, ImageQuery())[2]
        lines = run.path.read_bytes().splitlines(keepends=True)
        run.path.write_bytes(b"".join([lines[0], lines[1].replace(b"deformation", b"xxxxxxxxxxx")]))
        with run.path.open("ab") as file:
            file.write(b"".join(lines[2:]))
        with pytest.raises(DatasetError, match="line 2 is damaged"):
            collect(settings, ImageQuery(), ("deformation",), tmp_path / "set.h5")

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_a_search_of_the_catalog_makes_the_same_set(self, tmp_path: Path):
        runs = [run.documents() for run in campaign_of(tmp_path, ("A2", "C5"), 2, 1)]
        settings = recorded(tmp_path, runs)
        ensure_catalog(tmp_path)
        try:
            for run in runs:
                wait_archived(tmp_path, run[0][1]["uid"])
            found = open_catalog(tmp_path).search(Eq("start.sample", "C5"))
            of_catalog = collect_catalog(found, ("deformation",), tmp_path / "catalog.h5")
        finally:
            stop_catalog(tmp_path)
        query = ImageQuery(("C5",))
        of_journal = collect(settings, query, ("deformation",), tmp_path / "journal.h5")
        assert of_catalog.content_hash == of_journal.content_hash

    def test_runs_of_a_catalog_make_the_same_set(self, tmp_path: Path):
        class Run:
            """What a catalog gives: arrays behind the events, as Tiled exports them."""

            def __init__(self, documents: list[Document]) -> None:
                self._documents = documents

            def documents(self) -> list[dict[str, Any]]:
                late = [item for item in self._documents if item[0].startswith("stream_")]
                rest = [item for item in self._documents if not item[0].startswith("stream_")]
                order = [*rest[:-1], *late, rest[-1]]
                return [{"name": name, "doc": doc} for name, doc in order]

        runs = [run.documents() for run in campaign_of(tmp_path, ("A2", "C5"), 2, 1)]
        settings = recorded(tmp_path, runs)
        catalog = {run[0][1]["uid"]: Run(run) for run in runs}
        of_catalog = collect_catalog(catalog, ("deformation",), tmp_path / "catalog.h5")
        of_journal = collect(settings, ImageQuery(), ("deformation",), tmp_path / "journal.h5")
        assert of_catalog.content_hash == of_journal.content_hash

    def test_its_summary_counts_images_sessions_probes_and_fields(
        self, settings: Settings, tmp_path: Path
    ):
        found = collect(settings, ImageQuery(), ("deformation",), tmp_path / "set.h5")
        assert summary(found) == (
            SampleSummary("A2", images=4, sessions=2, probes=2, fields=4),
            SampleSummary("C5", images=4, sessions=2, probes=2, fields=4),
        )
