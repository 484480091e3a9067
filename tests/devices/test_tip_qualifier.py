"""The tip qualifier as a plan meets it: a verdict on the AFM's last image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign_bench import CampaignBench, Verdict, campaign_bench

from devices import TipBaseline, TipQualifier
from devices.wire import LimitError, RefusedError

FRAME = {
    "scan_size": 2.0,
    "aspect_ratio": 2.0,
    "scan_rate": 4.0,
    "lines": 8,
    "samples_per_line": 16,
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CampaignBench]:
    with campaign_bench(tmp_path / "assets") as opened:
        yield opened


def scan(bench: CampaignBench, mode: str = "ScanAsyst") -> None:
    """Take an image."""
    imager = bench.afm.imager
    bench.afm.scanner.frame.set(FRAME).wait(timeout=30)
    imager.mode.set(mode).wait(timeout=30)
    imager.stage()
    imager.engage.set(1).wait(timeout=30)
    imager.trigger().wait(timeout=30)
    imager.unstage()
    bench.afm.withdraw()


def looked(bench: CampaignBench, *verdicts: Verdict) -> dict[str, Any]:
    """What is read after a look at an image."""
    scan(bench)
    bench.finds.verdicts += verdicts
    bench.qualifier.trigger().wait(timeout=30)
    return {key: entry["value"] for key, entry in bench.qualifier.read().items()}


def test_a_verdict_is_read_with_the_diameter_and_its_change_in_nm(bench: CampaignBench) -> None:
    worn = Verdict("worn", 64.5e-9, 0.75e-9, 4.25e-9, "wider")
    assert looked(bench, worn) == {
        "tip_qualifier_status": "worn",
        "tip_qualifier_diameter": 64.5,
        "tip_qualifier_diameter_error": 0.75,
        "tip_qualifier_change": 4.25,
        "tip_qualifier_reason": "wider",
    }


def test_it_looks_at_the_heights_of_the_last_image(bench: CampaignBench) -> None:
    looked(bench)
    channels, _ = bench.afm.imager.last_image
    assert bench.finds.images[0] is channels["height_sensor"]


def test_without_a_height_sensor_it_looks_at_the_height(bench: CampaignBench) -> None:
    scan(bench, "Tapping")
    bench.qualifier.trigger().wait(timeout=30)
    channels, _ = bench.afm.imager.last_image
    assert bench.finds.images[0] is channels["height"]


def test_it_is_told_the_distances_of_lines_and_points(bench: CampaignBench) -> None:
    looked(bench)
    assert bench.finds.pixel_sizes == [pytest.approx((1e-6 / 8, 2e-6 / 16))]


def test_the_tip_is_compared_with_the_baseline_in_force(bench: CampaignBench) -> None:
    scan(bench)
    for baseline in (None, TipBaseline(60e-9, 0.5e-9)):
        bench.qualifier.baseline.set(baseline).wait(timeout=30)
        bench.qualifier.trigger().wait(timeout=30)
        assert bench.finds.baselines[-1] == baseline


def test_the_baseline_is_recorded_as_configuration(bench: CampaignBench) -> None:
    configured = bench.qualifier.read_configuration()
    assert math.isnan(configured["tip_qualifier_baseline_diameter"]["value"])
    bench.qualifier.baseline.set(TipBaseline(60e-9, 0.5e-9)).wait(timeout=30)
    configured = bench.qualifier.read_configuration()
    assert configured["tip_qualifier_baseline_diameter"]["value"] == 60.0
    assert configured["tip_qualifier_baseline_diameter_error"]["value"] == 0.5


@pytest.mark.parametrize("baseline", [60e-9, TipBaseline(0.0, 1e-9), TipBaseline(np.nan, 1e-9)])
def test_what_is_no_baseline_is_refused(bench: CampaignBench, baseline: Any) -> None:
    with pytest.raises(LimitError, match="a TipBaseline with a diameter above 0, or None"):
        bench.qualifier.baseline.set(baseline)


def test_a_tip_without_a_diameter_is_told_as_not_a_number(bench: CampaignBench) -> None:
    values = looked(bench, Verdict("no tip", math.nan, math.nan))
    assert math.isnan(values["tip_qualifier_diameter"])


def test_a_word_that_is_no_verdict_fails_the_status(bench: CampaignBench) -> None:
    with pytest.raises(ValueError, match="'blunt' is no verdict on a tip"):
        looked(bench, Verdict("blunt"))


def test_a_qualification_that_fails_fails_the_status_with_its_cause(bench: CampaignBench) -> None:
    def fail(*args: Any) -> Verdict:
        raise ValueError("the image is not of finite heights")

    scan(bench)
    with pytest.raises(ValueError, match="not of finite heights"):
        TipQualifier(bench.afm, fail, name="tip").trigger().wait(timeout=30)


def test_without_an_image_there_is_nothing_to_look_at(bench: CampaignBench) -> None:
    with pytest.raises(RefusedError, match="no image to look at: take one of the tip sample"):
        bench.qualifier.trigger()


def test_before_it_has_looked_it_has_nothing_to_say(bench: CampaignBench) -> None:
    with pytest.raises(RefusedError, match="has not looked yet: trigger it first"):
        bench.qualifier.status.get()


def test_what_it_tells_is_described_with_its_units(bench: CampaignBench) -> None:
    described = bench.qualifier.describe()
    assert described["tip_qualifier_diameter"]["units"] == "nm"
    assert described["tip_qualifier_status"]["dtype"] == "string"
