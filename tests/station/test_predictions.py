"""The station's model: a process that answers, dies, comes back, and keeps nobody waiting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import published_model
import pytest
from published_model import Textures, publish_textures

from analysis.networks.card import DataFacts, ModelCard, ModelInputs, SplitFacts
from analysis.networks.registry import MODEL, REFERENCE, Registry
from station.model_registry import KeyFileError, registry_of
from station.predictions import PredictionError, PredictionWorker
from station.settings import NetworksSettings, Settings

PROGRAM = Path(published_model.__file__).with_name("prediction_process.py")
ROOT = Path(__file__).parents[2]
UNITS = {"deformation": "m"}
KEY = b"a secret of this station"
CARD = ModelCard(
    name="textures",
    version=0,
    created="2026-01-05T09:00:00+00:00",
    task="classification",
    architecture="small_cnn",
    outputs=("A2", "C5"),
    inputs=ModelInputs(("deformation",), UNITS, 4.0, (32, 32)),
    data=DataFacts("ab" * 32, 96),
    split=SplitFacts(("r1",), ("r2",), ("r3",), "cd" * 32),
    seed=0,
    code_version="0.1.0",
    libraries={},
    metrics={},
)


def levels(level: float) -> dict[str, np.ndarray]:
    return {"deformation": np.full((32, 32), level)}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return condition()


def empty_model(folder: Path, card: ModelCard = CARD) -> None:
    """Publish a card; the network itself is not needed."""

    def write(half: Path) -> None:
        (half / MODEL).write_bytes(b"none")
        (half / REFERENCE).write_bytes(b"none")

    Registry(folder).publish(card, write)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    empty_model(tmp_path / "models")
    return Settings(data=tmp_path, networks=NetworksSettings(model="textures", timeout_s=30.0))


def worker_of(settings: Settings, *words: str, timeout_s: float = 30.0) -> PredictionWorker:
    """A worker whose process needs no network."""
    section = settings.networks.model_copy(update={"timeout_s": timeout_s})
    worker = PredictionWorker(settings.model_copy(update={"networks": section}))
    worker._command = [sys.executable, str(PROGRAM), *words]
    return worker


@pytest.fixture
def worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[PredictionWorker]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with worker_of(settings) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestWorker:
    def test_it_answers(self, worker: PredictionWorker) -> None:
        found = worker.predict(levels(0.25), UNITS, 4.0)
        np.testing.assert_allclose(found.values, [0.75, 0.25])
        assert (found.label, found.model, found.novelty) == ("A2", "textures:1", 0.5)

    def test_a_refusal_comes_as_it_was_said(self, worker: PredictionWorker) -> None:
        with pytest.raises(ValueError, match=r"^an image of another kind$"):
            worker.predict(levels(3.0), UNITS, 4.0)

    def test_who_waits_when_it_dies_is_told_in_a_line_and_the_next_is_answered(
        self, worker: PredictionWorker
    ) -> None:
        told = r"^model textures:1 gave no answer: its process ended \(killed by signal 9\)$"
        with pytest.raises(PredictionError, match=told):
            worker.predict(levels(1.0), UNITS, 4.0)
        assert worker.predict(levels(0.5), UNITS, 4.0).probability == 0.5

    def test_one_that_was_killed_between_two_images_is_back_for_the_next(
        self, worker: PredictionWorker
    ) -> None:
        worker.wait_ready()
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: worker.pid not in (first, None))
        assert worker.predict(levels(0.5), UNITS, 4.0).probability == 0.5

    def test_an_image_that_kills_it_again_and_again_is_given_up(
        self, worker: PredictionWorker
    ) -> None:
        for _ in range(6):
            with pytest.raises(PredictionError, match="killed by signal 9"):
                worker.predict(levels(1.0), UNITS, 4.0)
        with pytest.raises(PredictionError, match=r"does not answer: its process ended"):
            worker.predict(levels(0.5), UNITS, 4.0)

    def test_one_that_hangs_is_waited_for_no_longer_than_was_set(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        with worker_of(settings, timeout_s=0.5) as worker:
            told = r"^model textures:1 gave no answer within 0\.5 s; it is started again$"
            with pytest.raises(PredictionError, match=told):
                worker.predict(levels(2.0), UNITS, 4.0)
            worker._timeout_s = 30.0
            assert worker.predict(levels(0.5), UNITS, 4.0).probability == 0.5

    def test_one_that_cannot_start_gives_its_own_reason(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        told = "^model textures:1 does not answer: the model is not what its card says$"
        with worker_of(settings, "--fail") as worker:
            with pytest.raises(PredictionError, match=told):
                worker.predict(levels(0.5), UNITS, 4.0)

    def test_it_ends_with_the_station(self, worker: PredictionWorker) -> None:
        worker.wait_ready()
        pid = worker.pid
        assert pid is not None
        worker.close()
        assert not alive(pid)
        with pytest.raises(PredictionError, match="the station was closed"):
            worker.predict(levels(0.5), UNITS, 4.0)

    def test_it_ends_when_the_station_was_killed(self, settings: Settings) -> None:
        script = (
            "import sys, threading; from pathlib import Path\n"
            "from station.predictions import PredictionWorker\n"
            "from station.settings import NetworksSettings, Settings\n"
            f"s = Settings(data=Path({str(settings.data)!r}), "
            "networks=NetworksSettings(model='textures'))\n"
            "w = PredictionWorker(s)\n"
            f"w._command = [sys.executable, {str(PROGRAM)!r}]\n"
            "w.start(); w.wait_ready(); print(w.pid, flush=True); threading.Event().wait()\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        station = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert station.stdout is not None
        try:
            pid = int(station.stdout.readline())
            station.kill()
            station.wait()
            assert wait_until(lambda: not alive(pid))
        finally:
            station.stdout.close()
            station.kill()


class TestRefusal:
    def test_a_worker_that_was_not_started_says_so(self, settings: Settings) -> None:
        with pytest.raises(PredictionError, match="its process was not started"):
            PredictionWorker(settings).predict(levels(0.5), UNITS, 4.0)

    @pytest.mark.parametrize(
        ("units", "size_um", "told"),
        [({"deformation": "V"}, 4.0, "calibrate the probe"), (UNITS, 10.0, "frames of 4 µm")],
    )
    def test_an_image_of_another_kind_is_refused_before_anything_is_asked(
        self, settings: Settings, units: dict[str, str], size_um: float, told: str
    ) -> None:
        with pytest.raises(ValueError, match=told):
            PredictionWorker(settings).predict(levels(0.5), units, size_um)

    def test_a_model_that_there_is_not_is_refused(self, settings: Settings) -> None:
        with pytest.raises(PredictionError, match=r"there is no model 'icp' in .*: textures$"):
            PredictionWorker(settings, "icp")

    def test_without_a_name_there_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(PredictionError, match=r"set \[networks\] model"):
            PredictionWorker(Settings(data=tmp_path))

    def test_a_key_that_is_too_short_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"short")
        section = NetworksSettings(key=tmp_path / "key")
        with pytest.raises(KeyFileError, match="has 5 bytes: 16 or more are needed"):
            registry_of(Settings(data=tmp_path, networks=section))

    def test_with_a_key_an_unsigned_model_is_refused(self, settings: Settings) -> None:
        (settings.data / "key").write_bytes(KEY)
        section = settings.networks.model_copy(update={"key": settings.data / "key"})
        registry = registry_of(settings.model_copy(update={"networks": section}))
        with pytest.raises(ValueError, match="not signed, and this station has a key"):
            registry.load("textures")


def test_the_station_and_the_command_line_import_no_library_for_networks() -> None:
    code = (
        "import sys, station.cli, station.engine, station.desk, station.predictions, analysis.live"
        ", devices.image_classifier, analysis.networks.records;"
        "print([m for m in ('tensorflow', 'keras', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An image taken while a model, of a network that is one, looks on."""
    folder = tmp_path_factory.mktemp("predicted")
    publish_textures(folder / "models", Textures.drawn(size_um=2.0))
    small = ("--surface", "copolymers", "--clock-rate", "200", "--lines", "32", "--points", "32")
    done = twinscope(folder, "run", "image", "A2", "--size", "2", *small, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def twinscope(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "TWINSCOPE_DATA": str(folder),
        "TWINSCOPE_STORAGE__CATALOG": "false",
        "TWINSCOPE_NETWORKS__MODEL": "textures",
        "TWINSCOPE_NETWORKS__THREADS": "1",
        "XDG_CONFIG_HOME": str(folder),
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "station", *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
class TestRun:
    def test_what_was_predicted_live_is_predicted_again_bit_for_bit(
        self, taken: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, run = taken
        done = twinscope(folder, "networks", "predict", run["uid"], "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["uid"], found["model"], found["same"]) == (run["uid"], "textures:1", True)

    def test_the_run_shows_its_image_and_the_prediction(
        self, taken: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, run = taken
        shown = json.loads(twinscope(folder, "show", run["uid"], "--json").stdout)
        assert "deformation" in shown["image"]["channels"]
        assert set(shown["prediction"]["images"][0]["values"]) == {"A2", "C5"}

    def test_the_image_itself_is_still_replayed_and_reported(
        self, taken: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, run = taken
        assert json.loads(twinscope(folder, "replay", run["uid"], "--json").stdout)["same"]
        written = twinscope(folder, "report", run["uid"])
        assert "| deformation (nm) |" in Path(written.stdout.split()[1]).read_text()

    def test_the_prediction_is_reported_by_its_own_uid(
        self, taken: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, run = taken
        listed = json.loads(twinscope(folder, "runs", "--analyses", "--json").stdout)
        (uid,) = [each["uid"] for each in listed if each["plan_name"] == "prediction"]
        written = twinscope(folder, "report", uid)
        assert written.returncode == 0, written.stderr
        figure, page = map(Path, written.stdout.split())
        assert figure.name == f"{run['uid']}-prediction.png"
        assert figure.stat().st_size > 10_000
        assert "By model textures:1 from deformation" in page.read_text()

    def test_a_model_of_another_size_of_frame_refuses_a_run_in_a_line(
        self, taken: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, run = taken
        inputs = replace(CARD.inputs, size_um=4.0)
        empty_model(folder / "models", replace(CARD, name="larger", inputs=inputs))
        done = twinscope(folder, "networks", "predict", run["uid"], "--model", "larger")
        assert done.returncode == 2
        assert "trained on frames of 4 µm; the image is of 2 µm" in done.stderr
        assert done.stderr.count("\n") == 1
