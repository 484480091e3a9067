"""Options that commands share: declared once, given to a command as one object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

__all__ = [
    "AFMRunOptions",
    "Address",
    "AsJSON",
    "ClockRate",
    "Data",
    "Driver",
    "Lockin",
    "PixelSize",
    "Profile",
    "RunOptions",
    "Seed",
    "SettingsFile",
    "Specimen",
    "Surface",
    "interval",
    "load",
    "names",
    "numbers",
    "sharing",
]

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE", help="Settings file (TOML).")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of journal, images, catalog.")
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Profile = Annotated[str | None, typer.Option(help="Simulated stage: ideal, jeol-like or tfs-like.")]
Specimen = Annotated[
    str | None, typer.Option(help="procedural, micrograph (the one shipped), or a path.")
]
PixelSize = Annotated[
    float | None, typer.Option(metavar="NM", help="Pixel size of the micrograph, nm.")
]
Seed = Annotated[int | None, typer.Option(help="What stage, specimen and noise are drawn from.")]
ClockRate = Annotated[
    float | None, typer.Option(help="Instrument seconds per second of a simulated instrument.")
]
Driver = Annotated[str | None, typer.Option(help="Driver of the instrument.")]
Address = Annotated[
    str | None, typer.Option(help="A server that runs already, e.g. tcp://127.0.0.1:5555.")
]


Surface = Annotated[str | None, typer.Option(help="Sample of a simulated AFM.")]
Lockin = Annotated[
    str | None, typer.Option(metavar="HOST", help="Host of the multifrequency lock-in.")
]


def load(
    path: Path | None,
    data: Path | None = None,
    *,
    afm: Mapping[str, Any] | None = None,
    **tem: Any,
) -> Any:
    """Read the settings; what the command line says wins."""
    from station.settings import load_settings

    given = {"data": data, "afm": afm or {}, "tem": tem}
    return load_settings(path, given)


@dataclass(frozen=True)
class RunOptions:
    """The options of every ``twinscope run``."""

    field_of_view: Annotated[
        float | None, typer.Option(metavar="UM", help="Of the images, µm; as it is if not given.")
    ] = None
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would do and take; do nothing.")
    ] = False
    settings: SettingsFile = None
    data: Data = None
    address: Address = None
    driver: Driver = None
    profile: Profile = None
    specimen: Specimen = None
    pixel_size: PixelSize = None
    seed: Seed = None
    clock_rate: ClockRate = None
    as_json: AsJSON = False

    def loaded(self) -> Any:
        """The settings in force."""
        return load(
            self.settings,
            self.data,
            address=self.address,
            driver=self.driver,
            profile=self.profile,
            specimen=self.specimen,
            pixel_size_nm=self.pixel_size,
            seed=self.seed,
            clock_rate=self.clock_rate,
        )


@dataclass(frozen=True)
class AFMRunOptions:
    """The options of every ``twinscope run`` of the AFM."""

    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would take; do nothing.")
    ] = False
    settings: SettingsFile = None
    data: Data = None
    address: Address = None
    driver: Driver = None
    surface: Surface = None
    seed: Seed = None
    clock_rate: ClockRate = None
    as_json: AsJSON = False

    def loaded(self) -> Any:
        """The settings in force."""
        afm = {
            "address": self.address,
            "driver": self.driver,
            "surface": self.surface,
            "seed": self.seed,
            "clock_rate": self.clock_rate,
        }
        return load(self.settings, self.data, afm=afm)


def sharing(options: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a dataclass as options.

    Parameters
    ----------
    options : type
        A dataclass whose fields are annotated as typer wants them, all with defaults. The command
        takes one of it as its keyword argument `options`.

    Returns
    -------
    callable
        Decorator.
    """
    hints = get_type_hints(options, include_extras=True)
    shared = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=hints[each.name],
        )
        for each in fields(options)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def whole(**given: Any) -> None:
            mine = {each.name: given.pop(each.name) for each in shared}
            command(**given, options=options(**mine))

        signature = inspect.signature(command, eval_str=True)
        own = [each for name, each in signature.parameters.items() if name != "options"]
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        whole.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
            parameters=[*own, *shared]
        )
        whole.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
        return whole

    return decorate


def names(text: str) -> tuple[str, ...]:
    """Read names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Read numbers separated by commas.

    Raises
    ------
    ValueError
        They are none; names the option.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} {text!r} is not allowed: give numbers, as 10,2.5") from None


def interval(option: str, text: str) -> tuple[float, float]:
    """Read two numbers separated by a comma.

    Raises
    ------
    ValueError
        They are not two numbers; names the option.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} {text!r} is not allowed: give two numbers, as -5,5") from None
    return low, high
