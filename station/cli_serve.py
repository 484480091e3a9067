"""The instrument servers of the command line, ``twinscope serve``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli_errors import told_in_a_line
from station.cli_options import (
    ClockRate,
    Driver,
    Lockin,
    PixelSize,
    Profile,
    Seed,
    SettingsFile,
    Specimen,
    Surface,
    load,
    sharing,
)

__all__ = ["serve_app"]

serve_app = typer.Typer(no_args_is_help=True, help="Serve an instrument to stations.")


@dataclass(frozen=True)
class ServeOptions:
    """The options of every ``twinscope serve``."""

    driver: Driver = None
    seed: Seed = None
    clock_rate: ClockRate = None
    control: Annotated[str | None, typer.Option(help="Where commands are taken.")] = None
    events: Annotated[str | None, typer.Option(help="Where telemetry is given.")] = None
    keys: Annotated[Path | None, typer.Option(help="Folder of CURVE keys.")] = None
    ready_file: Annotated[
        Path | None, typer.Option(help="Written when ready: addresses, pid, facts (JSON).")
    ] = None
    parent: Annotated[int | None, typer.Option(help="End with this process.")] = None
    settings: SettingsFile = None

    def section(self) -> dict[str, Any]:
        """Settings of the instrument's section."""
        values = asdict(self)
        for name in ("ready_file", "parent", "settings"):
            del values[name]
        values["control_bind"], values["events_bind"] = values.pop("control"), values.pop("events")
        return values


@serve_app.command("tem")
@told_in_a_line
@sharing(ServeOptions)
def serve_tem(
    options: ServeOptions,
    profile: Profile = None,
    specimen: Specimen = None,
    pixel_size: PixelSize = None,
) -> None:
    """Serve the transmission electron microscope until Ctrl-C."""
    from station.serve import serve_tem as serve

    tem = {"profile": profile, "specimen": specimen, "pixel_size_nm": pixel_size}
    loaded = load(options.settings, **options.section(), **tem)
    serve(
        loaded.tem,
        loaded.simulator,
        ready_file=options.ready_file,
        parent=options.parent,
        say=_say,
    )


@serve_app.command("afm")
@told_in_a_line
@sharing(ServeOptions)
def serve_afm(options: ServeOptions, surface: Surface = None, lockin: Lockin = None) -> None:
    """Serve the atomic force microscope until Ctrl-C."""
    from station.serve import serve_afm as serve

    afm = {**options.section(), "surface": surface, "lockin_address": lockin}
    loaded = load(options.settings, afm=afm)
    serve(loaded.afm, ready_file=options.ready_file, parent=options.parent, say=_say)


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()
