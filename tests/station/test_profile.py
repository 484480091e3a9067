"""The console, as the person at the desk meets it: what a bluesky user checks first, in order."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from console_session import Session

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("console")


@pytest.fixture(scope="module")
def console(folder: Path) -> Iterator[Session]:
    session = Session(
        folder,
        *("-m", "IPython", f"--profile-dir={_copied_profile(folder)}", "--simple-prompt"),
    )
    session.greeting = session.until_prompt()  # type: ignore[attr-defined]
    yield session
    session.quit()


def _copied_profile(folder: Path) -> Path:
    """The profile of the clone, copied so that IPython's own files do not land in the clone."""
    import shutil

    target = folder / "profile"
    shutil.copytree(ROOT / "profile" / "startup", target / "startup")
    shutil.copy(ROOT / "profile" / "ipython_config.py", target)
    return target


def test_the_greeting_says_what_is_connected_and_what_to_try(console: Session):
    greeting = console.greeting  # type: ignore[attr-defined]
    assert re.search(r"ready in \d+\.\d s", greeting)
    assert "SIMULATED" in greeting
    assert greeting.count("RE(") == 2


def test_wa_shows_positions_and_limits(console: Session):
    said = console.type("%wa")
    assert re.search(r"tem\.goniometer\.x +│ +-?\d\.\d+ +│ +0\.000 +│ µm +│ -990", said)
    assert re.search(r"tem\.goniometer\.alpha +│.*│ deg +│ -70 ", said)


def test_count_prints_a_table_and_returns(console: Session):
    said = console.type("RE(bp.count([tem.camera]))")
    assert "generator count" in said
    assert "exit_status='success'" in said


def test_scan_prints_a_row_a_position(console: Session):
    said = console.type("RE(bp.scan([tem.camera], tem.goniometer.alpha, -2, 2, 3))")
    assert re.search(r"\|\s+3 \|", said)


def test_mov_keeps_to_the_one_run_engine_and_its_progress_bar(console: Session):
    console.type("%mov tem.goniometer.x 1.5")
    assert "True" in console.type("RE.waiting_hook is not None")
    assert "True" in console.type("abs(tem.goniometer.x.position - 1.5) < 0.3")


def test_a_target_outside_the_limits_is_one_line(console: Session):
    said = console.type("RE(bps.mv(tem.goniometer.alpha, 82))")
    assert "Traceback" not in said
    assert "82" in said
    assert "70" in said


def test_check_limits_is_at_hand(console: Session):
    said = console.type("check_limits(bp.scan([], tem.goniometer.alpha, 0, 82, 3))")
    assert "82" in said


def test_summarize_plan_is_at_hand(console: Session):
    assert "Read" in console.type("summarize_plan(bp.count([tem.camera]))")


def test_hysteresis_gives_its_result(console: Session):
    said = console.type(
        "r = RE(hysteresis(tem, ('x',), steps=2, repeats=2, analysis=live)).plan_result; "
        "print(len(r.result.deficits))"
    )
    assert said.strip().endswith("2")


def test_the_run_is_in_the_catalog(console: Session):
    said = console.type("cat[-1].start['plan_name'] if hasattr(cat[-1], 'start') else cat[-1]")
    assert "hysteresis" in said


def test_the_run_is_in_the_databroker(console: Session):
    said = console.type("len(db[-1].table())")
    assert re.search(r"\b17\b", said)


def test_help_on_a_plan_is_its_docstring(console: Session):
    said = console.type("print(hysteresis.__doc__)")
    assert "Step each axis out and back" in said


def test_ctrl_c_twice_pauses_and_abort_closes_the_run(console: Session):
    console.child.sendline("RE(bp.scan([], tem.goniometer.x, -500, 500, 40))")
    console.child.expect("Transient Scan ID")
    console.child.sendintr()
    console.child.expect("deferred pause")
    console.child.sendintr()
    console.until_prompt()
    assert "paused" in console.type("RE.state")
    console.type("RE.abort('test')")
    assert "idle" in console.type("RE.state")


def test_metadata_and_scan_number_are_on_disk(console: Session, folder: Path):
    console.type("RE.md['sample'] = 'gold'")
    stored = json.loads((folder / "data" / "md.json").read_text())
    assert stored["sample"] == "gold"
    assert stored["scan_id"] >= 3


def test_a_console_that_was_left_leaves_no_server_behind(folder: Path, tmp_path: Path):
    session = Session(tmp_path, "-m", "station", "console", TWINSCOPE_STORAGE__CATALOG="0")
    session.child.expect(r"In \[")
    assert session.child.pid is not None
    pids = [int(pid) for pid in _children(session.child.pid)]
    assert pids
    session.child.sendline("1/0")
    session.child.expect(r"In \[")
    session.child.sendline("exit")
    session.child.expect(pexpect.EOF, timeout=60)
    session.child.close()
    assert not [pid for pid in pids if _alive(pid)]


def _children(pid: int) -> list[str]:
    task = Path(f"/proc/{pid}/task/{pid}/children")
    if not task.exists():
        pytest.skip("needs /proc")
    return [
        child
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return True
