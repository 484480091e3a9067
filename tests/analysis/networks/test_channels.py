"""What networks read is refused unless it is calibrated, and nothing heavy is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.networks import ModelSpec, Problem, check_units

ROOT = Path(__file__).parents[3]


def test_calibrated_units_pass() -> None:
    check_units(("deformation", "dmt_modulus"), {"deformation": "m", "dmt_modulus": "Pa"})


def test_an_uncalibrated_channel_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^deformation is in V: .* wants m; calibrate the probe$"):
        check_units(("deformation",), {"deformation": "V"})


def test_a_missing_channel_is_named_with_those_that_are_there() -> None:
    with pytest.raises(ValueError, match=r"^channel adhesion is missing: there is phase, height$"):
        check_units(("adhesion",), {"phase": "deg", "height": "m"})


def test_a_channel_that_no_network_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="channel 'height' is not one that a network reads"):
        check_units(("height",), {"height": "m"})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "ranking"}, "task 'ranking' is not allowed"),
        ({"outputs": ("A2",)}, "1 outputs: classification needs 2 or more"),
        ({"outputs": ("A2", "A2")}, "name one twice"),
        ({"channels": ()}, "no channel"),
        ({"channels": ("phase", "phase")}, "name one twice"),
        ({"shape": (0, 4)}, r"shape \(0, 4\) is not allowed"),
    ],
)
def test_a_problem_that_is_none_is_refused(changed: dict[str, object], message: str) -> None:
    given = {
        "task": "classification",
        "channels": ("phase",),
        "outputs": ("A2", "C5"),
        "shape": (64, 64),
    }
    with pytest.raises(ValueError, match=message):
        Problem(**{**given, **changed})  # type: ignore[arg-type]


def test_a_spec_survives_json() -> None:
    spec = ModelSpec("regression", ("phase", "adhesion"), ("izod",), (128, 96), "small_cnn")
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


def test_importing_what_is_asked_imports_no_library_for_networks() -> None:
    code = (
        "import sys, analysis.networks, analysis.networks.estimators, analysis.networks.training,"
        "analysis.networks.trained, analysis.networks.features, analysis.networks.baselines;"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'skimage'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_only_feeding_and_prediction_name_an_engine() -> None:
    engines = ("import tensorflow", "from tensorflow", "import torch", "import jax")
    naming = {
        path.name
        for path in (ROOT / "analysis" / "networks").glob("*.py")
        if any(engine in path.read_text(encoding="utf-8") for engine in engines)
    }
    assert naming <= {"feeding.py", "predictor.py"}
