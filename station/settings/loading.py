"""All settings together, and where each is read from: file, environment, command line."""

from __future__ import annotations

import getpass
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from station import StationError
from station.settings._values import Folder
from station.settings.sections import (
    AFMSettings,
    LiveSettings,
    NetworksSettings,
    SimulatorSettings,
    StageSettings,
    StorageSettings,
    TEMSettings,
)

__all__ = [
    "FILE_NAME",
    "Settings",
    "SettingsError",
    "environment_of",
    "load_settings",
    "settings_file",
]

FILE_NAME = "twinscope.toml"
_PREFIX = "TWINSCOPE_"
_NESTED = "__"


class SettingsError(StationError):
    """A setting cannot be used; says where it stands, what was found and what is allowed."""


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("name each instrument once")
    return names


Instruments = Annotated[
    tuple[Literal["tem", "afm"], ...], Field(min_length=1), AfterValidator(_each_once)
]


class Settings(BaseSettings):
    """All settings of a station.

    Parameters
    ----------
    data : Path
        Folder of the journal, the images and the catalog.
    operator : str
        Who is at the desk; recorded in every run.
    md : dict
        Further metadata for every run.
    instruments : tuple of str
        What the station connects to when it is opened: ``tem``, ``afm`` or both.
    tem : TEMSettings
        The transmission electron microscope.
    afm : AFMSettings
        The atomic force microscope.
    simulator : SimulatorSettings
        What goes wrong with a simulated stage.
    stage : StageSettings
        How targets are reached.
    storage : StorageSettings
        What is done with the runs.
    live : LiveSettings
        What is done while they are taken.
    networks : NetworksSettings
        What model predicts what images show.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=_PREFIX, env_nested_delimiter=_NESTED
    )

    data: Folder = Field(default_factory=lambda: platformdirs.user_data_path("twinscope"))
    operator: str = Field(default_factory=getpass.getuser)
    md: dict[str, Any] = Field(default_factory=dict)
    instruments: Instruments = ("tem",)
    tem: TEMSettings = Field(default_factory=TEMSettings)
    afm: AFMSettings = Field(default_factory=AFMSettings)
    simulator: SimulatorSettings = Field(default_factory=SimulatorSettings)
    stage: StageSettings = Field(default_factory=StageSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    live: LiveSettings = Field(default_factory=LiveSettings)
    networks: NetworksSettings = Field(default_factory=NetworksSettings)


def settings_file(given: Path | None = None) -> Path | None:
    """The settings file that holds, or None where there is none.

    Parameters
    ----------
    given : Path, optional
        One chosen by the user, who must then find it used.

    Returns
    -------
    Path or None
        `given`, that named by ``TWINSCOPE_SETTINGS``, that of the working directory or that of the
        user's configuration folder.

    Raises
    ------
    SettingsError
        The chosen file does not exist.
    """
    chosen = given or (Path(name) if (name := os.environ.get(f"{_PREFIX}SETTINGS")) else None)
    if chosen is not None:
        if not chosen.is_file():
            wrong = "is not a file" if chosen.exists() else "does not exist"
            raise SettingsError(f"settings file {chosen} {wrong}")
        return chosen
    candidates = (Path(FILE_NAME), platformdirs.user_config_path("twinscope") / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def environment_of(section: str, values: BaseModel) -> dict[str, str]:
    """Return the environment variables by which a child gets the values of a section."""
    return {
        f"{_PREFIX}{section}{_NESTED}{name}".upper(): str(value)
        for name, value in values.model_dump().items()
    }


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"settings file {path} is not TOML: {error}") from error


def load_settings(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Parameters
    ----------
    path : Path, optional
        The file; found by `settings_file` when not given.
    overrides : mapping, optional
        Values that win over the file and the environment, nested as in the file; None is "not
        given".

    Returns
    -------
    Settings
        Every value set.

    Raises
    ------
    SettingsError
        One line: file, key, what was found, what is allowed.
    """
    found = settings_file(path)
    in_file = _read(found)
    _check_sections(in_file, found)
    given = _without_none(overrides or {})

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    try:
        return Sourced(**given)
    except SourceError as error:
        raise SettingsError(f"environment: {error}") from error
    except ValidationError as error:
        raise SettingsError(_one_line(error, found, in_file, given)) from error


def _check_sections(in_file: Mapping[str, Any], path: Path | None) -> None:
    """Refuse a section that is a single value: options would be merged over it unseen."""
    for name, field in Settings.model_fields.items():
        annotation = field.annotation
        is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        if is_section and not isinstance(in_file.get(name, {}), Mapping):
            raise SettingsError(
                f"{path}: {name} is {in_file[name]!r}: it is a section, [{name}], with the "
                f"settings {', '.join(_fields((name,)))}"
            )


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def _has(values: object, location: Sequence[str | int]) -> bool:
    for key in location:
        if not isinstance(values, Mapping) or key not in values:
            return False
        values = values[key]
    return True


def _one_line(
    error: ValidationError,
    path: Path | None,
    in_file: Mapping[str, Any],
    given: Mapping[str, Any],
) -> str:
    first, *others = error.errors(include_url=False)
    location = first["loc"]
    variable = _PREFIX + _NESTED.join(str(key).upper() for key in location)
    if _has(given, location):
        where = "command line"
    elif variable in os.environ:
        where = f"environment variable {variable}"
    elif path is not None and _has(in_file, location):
        where = str(path)
    else:
        where = "settings"
    key = ".".join(str(part) for part in location)
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = f"no such setting; allowed: {', '.join(_fields(location[:-1]))}"
    value = str(first["input"]) if isinstance(first["input"], Path) else first["input"]
    found = "" if isinstance(value, Mapping) else f" is {value!r}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{where}: {key}{found}: {reason[0].lower()}{reason[1:]}{more}"


def _fields(location: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
