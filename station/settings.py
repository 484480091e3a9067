"""What is connected, where the data go, and who is at the desk: one TOML file.

`load_settings` reads ``twinscope.toml`` of the working directory, else that of the user's
configuration folder, over defaults that work for everything. An environment variable
(``TWINSCOPE_TEM__SEED=7``) wins over the file, a value given on the command line over both.
"""

from __future__ import annotations

import getpass
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from station import StationError

__all__ = [
    "FILE_NAME",
    "LiveSettings",
    "Settings",
    "SettingsError",
    "SimulatorSettings",
    "StorageSettings",
    "TEMSettings",
    "environment_of",
    "load_settings",
    "settings_file",
]

FILE_NAME = "twinscope.toml"
_PREFIX = "TWINSCOPE_"
_NESTED = "__"


class SettingsError(StationError):
    """A setting cannot be used; says where it stands, what was found and what is allowed."""


def _address(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if scheme not in ("tcp", "ipc") or not rest or (scheme == "tcp" and ":" not in rest):
        raise ValueError("an address such as tcp://127.0.0.1:5555 is needed")
    return value


def _existing_specimen(value: str) -> str:
    if value in ("procedural", "micrograph") or Path(value).expanduser().is_file():
        return value
    raise ValueError("no such file; allowed: procedural, micrograph (the one shipped), or a path")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return value


def _expanded(value: object) -> object:
    if not isinstance(value, str | Path):
        raise ValueError("the path of a folder is needed, in quotes")
    path = Path(value).expanduser().absolute()  # what is chosen now outlives a change of directory
    if path.exists() and not path.is_dir():
        raise ValueError("it is a file: the path of a folder is needed")
    return path


def _existing_file(value: object) -> object:
    if not isinstance(value, str | Path):
        raise ValueError("the path of a file is needed, in quotes")
    path = Path(value).expanduser().absolute()
    if not path.is_file():
        raise ValueError("no such file")
    return path


Address = Annotated[str, AfterValidator(_address)]
Number = Annotated[float, AfterValidator(_finite)]
Folder = Annotated[Path, BeforeValidator(_expanded)]
File = Annotated[Path, BeforeValidator(_existing_file)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class TEMSettings(_Section):
    """Section ``[tem]``: the microscope.

    Parameters
    ----------
    driver : str
        Which driver stands behind the server; ``simulated`` is always there.
    profile : str
        Stage of the simulated microscope: ``ideal``, ``jeol-like`` or ``tfs-like``.
    specimen : str
        ``procedural``, ``micrograph`` (the one shipped) or the path of a micrograph.
    pixel_size_nm : float or None
        Size of a pixel of the micrograph, nm; needed with a path.
    seed : int
        From which stage, specimen and noise are drawn.
    clock_rate : float
        Instrument seconds per second.
    address : str or None
        Commands of a server that runs already; without it the station starts its own.
    events : str or None
        Telemetry of that server.
    control_bind, events_bind : str
        Where a server that is started listens; port 0 takes any that is free.
    keys : Path or None
        Folder of CURVE keys; needed for an address that is not of this machine.
    """

    driver: str = "simulated"
    profile: str = "jeol-like"
    specimen: Annotated[str, AfterValidator(_existing_specimen)] = "procedural"
    pixel_size_nm: Annotated[Number, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    clock_rate: Annotated[Number, Field(gt=0)] = 1.0
    address: Address | None = None
    events: Address | None = None
    control_bind: Address = "tcp://127.0.0.1:0"
    events_bind: Address = "tcp://127.0.0.1:0"
    keys: Folder | None = None

    @model_validator(mode="after")
    def _needs_a_scale(self) -> TEMSettings:
        if self.specimen not in ("procedural", "micrograph") and self.pixel_size_nm is None:
            raise ValueError(
                f"micrograph {self.specimen} has no pixel size; give pixel_size_nm "
                "(--pixel-size), the size of one of its pixels in nm"
            )
        return self


Probability = Annotated[Number, Field(ge=0, le=1)]


class SimulatorSettings(_Section):
    """Section ``[simulator]``: what goes wrong with the simulated stage; nothing by default.

    Parameters
    ----------
    timeout, block, limiter : float
        Probability that a command gets no answer, that its answer takes `block_seconds`, and that
        the stage runs into a limit switch on its way.
    dropped : float
        Probability that a sample of the stage's sensors is lost.
    block_seconds : float
        Instrument seconds.
    """

    timeout: Probability = 0.0
    block: Probability = 0.0
    limiter: Probability = 0.0
    dropped: Probability = 0.0
    block_seconds: Annotated[Number, Field(ge=0)] = 30.0

    @model_validator(mode="after")
    def _one_fault_a_command(self) -> SimulatorSettings:
        total = self.timeout + self.block + self.limiter
        if total > 1:
            raise ValueError(f"timeout + block + limiter is {total:g}: at most 1 is allowed")
        return self


class StageSettings(_Section):
    """Section ``[stage]``: how the compensated stage reaches its targets.

    Parameters
    ----------
    approach : str
        ``direct``; ``over-travel``, from the same side always; ``play-inversion`` and
        ``learnt-map``, which rest on a model of the stage.
    over_travel_um, over_travel_z_um : float
        How far before a target the last leg of x and y, and of z, begins; 0 for none, µm.
    relax_um : float
        How far the last leg goes beyond the target, to come back by it, µm.
    model : Path or None
        The model; the newest of the data folder's ``models`` unless given.
    """

    approach: Literal["direct", "over-travel", "play-inversion", "learnt-map"] = "over-travel"
    over_travel_um: Number = 10.0
    over_travel_z_um: Number = 3.0
    relax_um: Annotated[Number, Field(ge=0)] = 0.0
    model: File | None = None


class StorageSettings(_Section):
    """Section ``[storage]``.

    Parameters
    ----------
    catalog : bool
        Whether the catalog service is started on demand. The journal is always written.
    """

    catalog: bool = True


class LiveSettings(_Section):
    """Section ``[live]``.

    Parameters
    ----------
    analysis : bool
        Whether runs are analysed while they are taken.
    publish : str or None
        Address (``host:port``) of a bluesky 0MQ proxy that documents are published to.
    """

    analysis: bool = True
    publish: str | None = None


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
    tem : TEMSettings
        The microscope.
    simulator : SimulatorSettings
        What goes wrong with a simulated one.
    stage : StageSettings
        How targets are reached.
    storage : StorageSettings
        What is done with the runs.
    live : LiveSettings
        What is done while they are taken.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=_PREFIX, env_nested_delimiter=_NESTED
    )

    data: Folder = Field(default_factory=lambda: platformdirs.user_data_path("twinscope"))
    operator: str = Field(default_factory=getpass.getuser)
    md: dict[str, Any] = Field(default_factory=dict)
    tem: TEMSettings = Field(default_factory=TEMSettings)
    simulator: SimulatorSettings = Field(default_factory=SimulatorSettings)
    stage: StageSettings = Field(default_factory=StageSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    live: LiveSettings = Field(default_factory=LiveSettings)


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
