"""The compensated stage of the settings: which approach, and the model that it rests on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from station import StationError

if TYPE_CHECKING:
    from analysis.stage_model import StageModel
    from devices.approaches import Approach
    from devices.goniometer import Goniometer
    from devices.positioning import CompensatedStage
    from station.settings import Settings, StageSettings

__all__ = ["ModelError", "compensated_stage", "model_file"]

_log = logging.getLogger(__name__)


class ModelError(StationError):
    """There is no model of the stage to rest an approach on; says how to get one."""


def compensated_stage(goniometer: Goniometer, settings: Settings) -> CompensatedStage:
    """Put the approach of the settings over a goniometer.

    Parameters
    ----------
    goniometer : Goniometer
        Connected.
    settings : Settings
        Section ``[stage]``, and where models are kept.

    Returns
    -------
    CompensatedStage
        Named ``stage``.

    Raises
    ------
    ModelError
        The approach needs a model and there is none.
    """
    from devices.positioning import CompensatedStage

    return CompensatedStage(
        goniometer, _APPROACHES[settings.stage.approach](settings), name="stage"
    )


def model_file(settings: Settings) -> Path:
    """The model that the settings name, or else the one written last.

    Parameters
    ----------
    settings : Settings
        Section ``[stage]``, and the data folder.

    Returns
    -------
    Path
        A JSON file of `analysis.stage_model.save_stage_model`.

    Raises
    ------
    ModelError
        There is none.
    """
    if settings.stage.model is not None:
        return settings.stage.model
    folder = settings.data / "models"
    written = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not written:
        raise ModelError(
            f"approach {settings.stage.approach} needs a model of the stage, and {folder} holds "
            "none: measure one (twinscope run characterise) or name one ([stage] model)"
        )
    return written[-1]


def _model(settings: Settings) -> StageModel:
    from analysis.stage_model import load_stage_model

    path = model_file(settings)
    try:
        model = load_stage_model(path)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if model.stale():
        _log.warning(
            "the stage model %s is %.0f h old, good for %g h: measure it again (twinscope run "
            "characterise)",
            path,
            model.age_hours(),
            model.good_for_hours,
        )
    return model


def _direct(settings: Settings) -> Approach:
    from devices.approaches import Direct

    return Direct()


def _over_travel(settings: Settings) -> Approach:
    from devices.approaches import OverTravel

    stage: StageSettings = settings.stage
    lateral, height = stage.over_travel_um, stage.over_travel_z_um
    distances = {"x": lateral, "y": lateral, "z": height}
    return OverTravel({axis: way for axis, way in distances.items() if way}, stage.relax_um)


def _play_inversion(settings: Settings) -> Approach:
    from devices.approaches import PlayInversion

    return PlayInversion({axis.axis: axis.backlash.value for axis in _model(settings).axes})


def _learnt_map(settings: Settings) -> Approach:
    from analysis.compensation import LearntMap

    return LearntMap(_model(settings))


_APPROACHES: Mapping[str, Callable[[Settings], Approach]] = {
    "direct": _direct,
    "over-travel": _over_travel,
    "play-inversion": _play_inversion,
    "learnt-map": _learnt_map,
}
