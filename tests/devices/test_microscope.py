"""The microscope as a whole, and its column."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky import RunEngine
from bluesky.preprocessors import SupplementalData

from devices import Microscope
from devices.drivers import tem_services
from devices.wire import (
    Client,
    ConnectionLost,
    LeaseError,
    LimitError,
    RefusedError,
    Server,
)


def test_reading_the_microscope_is_two_requests(bench: Any) -> None:
    bench.client.sent.clear()
    bench.tem.read()
    assert bench.client.sent == {"stage.read": 1, "column.read": 1}


def test_readings_and_descriptions_have_the_same_keys(bench: Any) -> None:
    tem = bench.tem
    assert list(tem.describe()) == ["tem_camera_image" if k is None else k for k in tem.describe()]
    described = [key for key, entry in tem.describe().items() if "external" not in entry]
    assert list(tem.read()) == described
    assert list(tem.read_configuration()) == list(tem.describe_configuration())


def test_the_column_s_data_keys_and_units(bench: Any) -> None:
    described = bench.tem.column.describe()
    assert {key: entry.get("units") for key, entry in described.items()} == {
        "tem_column_magnification": None,
        "tem_column_field_of_view": "µm",
        "tem_column_beam_blank": None,
        "tem_column_image_shift_x": "nm",
        "tem_column_image_shift_y": "nm",
    }
    assert described["tem_column_beam_blank"]["dtype"] == "integer"
    values = {key: entry["value"] for key, entry in bench.tem.column.read().items()}
    assert values["tem_column_magnification"] == 50_000
    assert values["tem_column_field_of_view"] == 3.75
    assert values["tem_column_beam_blank"] == 0


def test_settings_reach_the_column(bench: Any, engine: RunEngine) -> None:
    column = bench.tem.column
    engine(bps.mv(column.magnification, 25_000, column.image_shift_x, 120.0, column.beam_blank, 1))
    state = bench.simulated.column.read()
    assert state.magnification == 25_000
    assert state.image_shift == (pytest.approx(120e-9), 0.0)
    assert state.beam_blank
    engine(bps.mv(column.field_of_view, 3.75))
    assert column.magnification.get() == pytest.approx(50_000)


def test_a_setting_can_be_set_again_before_it_is_done(bench: Any) -> None:
    statuses = [bench.tem.column.image_shift_x.set(float(value)) for value in range(5)]
    for status in statuses:
        status.wait(timeout=30)
    assert bench.tem.column.image_shift_x.get() in range(5)


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("magnification", 1.0),
        ("field_of_view", 0.0),
        ("image_shift_x", 1e6),
        ("image_shift_y", float("nan")),
        ("beam_blank", 2),
        ("beam_blank", "on"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(
    bench: Any, signal: str, value: Any
) -> None:
    bench.client.sent.clear()
    with pytest.raises(LimitError):
        getattr(bench.tem.column, signal).set(value)
    assert not bench.client.sent


def test_the_server_refuses_wrong_settings_again(bench: Any) -> None:
    with pytest.raises(LimitError, match=r"magnification 1 is outside 1000\.\.2000000"):
        bench.client.request("column.set", {"magnification": 1.0})


def test_a_run_of_everything_has_valid_documents_and_a_baseline(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    tem = bench.tem
    engine.preprocessors.append(SupplementalData(baseline=[tem.goniometer, tem.column]))
    engine(bp.scan([tem.camera], tem.goniometer.x, 0, 1, 2))
    streams = {doc["name"]: doc for doc in documents.of("descriptor")}
    assert set(streams) == {"primary", "baseline"}
    assert "tem_column_beam_blank" in streams["baseline"]["data_keys"]
    configuration = streams["primary"]["configuration"]["tem_camera"]["data"]
    assert configuration["tem_camera_pixel_size"] == pytest.approx(3750 / 48)
    assert len(documents.of("stream_datum")) == 2


def test_the_microscope_itself_is_a_detector(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine(bp.count([bench.tem], num=2))
    assert len(documents.of("stream_datum")) == 2
    assert "tem_goniometer_x" in documents.of("event")[0]["data"]


def test_wa_lists_the_five_axes_with_their_limits(
    bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from bluesky.magics import BlueskyMagics
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.user_ns["tem"] = bench.tem
    magics: Any = BlueskyMagics(shell)
    magics.wa("motors")
    lines = capsys.readouterr().out.splitlines()
    for axis, limit in (("x", 990), ("y", 990), ("z", 220), ("alpha", 70), ("beta", 29.7)):
        (line,) = [line for line in lines if line.split()[:1] == [f"tem_goniometer_{axis}"]]
        assert line.split()[2:4] == [f"{-limit:.1f}", f"{limit:.1f}"]


def test_hints_are_the_positions_and_what_may_be_scanned_in_the_column(bench: Any) -> None:
    assert bench.tem.camera.hints == {"fields": []}
    assert bench.tem.column.hints["fields"] == [
        "tem_column_magnification",
        "tem_column_field_of_view",
        "tem_column_image_shift_x",
        "tem_column_image_shift_y",
    ]
    assert bench.tem.hints["fields"][:5] == bench.tem.goniometer.hints["fields"]


def test_labels(bench: Any) -> None:
    tem = bench.tem
    assert tem.goniometer.x._ophyd_labels_ == {"motors"}
    assert tem.camera._ophyd_labels_ == {"detectors"}
    assert tem.column._ophyd_labels_ == tem.goniometer._ophyd_labels_ == {"baseline"}


def test_a_server_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    client = Client("tcp://127.0.0.1:9", name="ana")
    tem = Microscope(client, asset_folder=tmp_path)
    with pytest.raises(
        ConnectionLost, match=r"tem is not connected: .*tcp://127\.0\.0\.1:9"
    ) as caught:
        tem.wait_for_connection(timeout=0.2)
    assert "twinscope serve tem" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not tem.connected
    tem.close()
    client.close()


def test_after_a_restart_of_the_server_everything_works_again(eager_bench: Any, until: Any) -> None:
    bench = eager_bench
    address = bench.server.control_address
    bench.server.close()
    until(lambda: not bench.tem.connected)
    with pytest.raises(ConnectionLost):
        bench.tem.goniometer.x.set(1.0)
    simulated = bench.simulated
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=0.002)
    with Server(services, control=address):
        bench.tem.wait_for_connection(timeout=30)
        bench.tem.goniometer.x.set(1.0).wait(timeout=30)
        assert bench.tem.goniometer.x.target.get() == 1.0


def test_while_another_client_holds_the_lease_nothing_moves(bench: Any) -> None:
    with Client(bench.server.control_address, name="bob") as other:
        other.acquire_lease()
        with pytest.raises(LeaseError, match="bob"):
            bench.tem.goniometer.x.set(1.0).wait(timeout=30)
        with pytest.raises(LeaseError, match="bob"):
            bench.tem.column.magnification.set(1e5).wait(timeout=30)
        assert bench.tem.goniometer.x.target.get() == 0


def test_before_it_is_connected_a_move_says_so(tmp_path: Path) -> None:
    client = Client("tcp://127.0.0.1:9", name="ana")
    tem = Microscope(client, asset_folder=tmp_path)
    with pytest.raises(ConnectionLost, match="wait_for_connection"):
        tem.goniometer.x.set(1.0)
    begun = time.monotonic()
    tem.stop()
    assert time.monotonic() - begun < 1.2
    tem.close()
    client.close()


def test_without_a_folder_nothing_is_recorded_and_it_says_why(bench: Any) -> None:
    tem = Microscope(bench.client, name="other")
    with pytest.raises(RefusedError, match="asset_folder"):
        tem.camera.stage()
    tem.close()


def test_a_server_does_not_load_ophyd() -> None:
    script = "import sys, devices.drivers; sys.exit('ophyd' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
