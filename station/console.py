"""``twinscope console``: IPython with the station's profile, magics and prompt.

IPython writes its history and locks into the folder of a profile, so the shipped one is used as a
source of start-up files and configuration, and the writing goes to the data folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky import RunEngine
from bluesky.magics import BlueskyMagics, get_labeled_devices
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from IPython.terminal.prompts import Prompts
from pygments.token import Token
from rich.console import Console
from rich.table import Table

from station.settings import Settings

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["StationMagics", "profile_folder", "set_up", "start_console"]


def profile_folder() -> Path:
    """Where the shipped profile lies, in a clone and in an installed package alike."""
    return Path(__file__).resolve().parent / "profile"


def start_console(settings: Settings, settings_path: Path | None) -> None:
    """Run the console until the person leaves it.

    Parameters
    ----------
    settings : Settings
        Its data folder is where IPython keeps the history.
    settings_path : Path or None
        A settings file given on the command line, for the start-up files.
    """
    from IPython.terminal.ipapp import TerminalIPythonApp
    from traitlets.config import Config

    os.environ["TWINSCOPE_DATA"] = str(settings.data)
    if settings_path is not None:
        os.environ["TWINSCOPE_SETTINGS"] = str(settings_path)
    shipped = profile_folder()
    own = settings.data / "console"
    own.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.ProfileDir.location = str(own)
    config.TerminalIPythonApp.extra_config_file = str(shipped / "ipython_config.py")
    config.InteractiveShellApp.exec_files = [
        str(path) for path in sorted((shipped / "startup").glob("*.py"))
    ]
    TerminalIPythonApp.launch_instance(argv=[], config=config)


class StationMagics(BlueskyMagics):
    """``%mov``, ``%movr``, ``%ct``, ``%wa`` on the station's own RunEngine.

    bluesky's magics take the progress bar away after a move; these leave it. Its ``%wa`` asks for
    an offset, which these axes do not have, and tells neither target nor unit; this one does.
    """

    def wa(self, line: str) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where all is: position, target and limits of the motors; devices of the other labels."""
        assert self.shell is not None
        found = get_labeled_devices(user_ns=self.shell.user_ns)
        screen = Console()
        for label in line.split() or sorted(found):
            if label in found:
                screen.print(_where(label, found[label]))
            else:
                screen.print(
                    f"no device is labelled {label}; there are: {', '.join(sorted(found))}"
                )

    def _ensure_idle(self) -> None:
        super()._ensure_idle()
        self.RE.waiting_hook = self.pbar_manager  # pyright: ignore[reportAttributeAccessIssue]


class _LabelledPrompts(Prompts):
    """The usual prompt behind a label."""

    label = ""

    def in_prompt_tokens(self) -> list[tuple[Any, str]]:
        """Label, then number."""
        return [(Token.Prompt, f"[{self.label}] "), *super().in_prompt_tokens()]


def _where(label: str, devices: Sequence[tuple[str, Any]]) -> Table:
    """Positions of what moves, and the names of what does not."""
    moves = [hasattr(device, "position") and hasattr(device, "limits") for _, device in devices]
    columns = ("position", "target", "unit", "lowest", "highest") if any(moves) else ()
    table = Table(label, *columns)
    for (name, device), movable in zip(devices, moves, strict=True):
        cells = [""] * len(columns)
        if movable:
            place, digits = device.locate(), device.precision
            cells = [f"{place['readback']:.{digits}f}", f"{place['setpoint']:.{digits}f}"]
            cells += [device.egu, *(f"{limit:g}" for limit in device.limits)]
        table.add_row(name, *cells)
    return table


def set_up(shell: InteractiveShell, engine: RunEngine, label: str) -> None:
    """Register the magics on `engine` and show `label` in the prompt.

    Parameters
    ----------
    shell : InteractiveShell
        The console; only one in a terminal has a prompt to label.
    engine : bluesky.RunEngine
        The station's.
    label : str
        ``sim``, or the instrument's name.
    """
    BlueskyMagics.RE = engine
    if engine.waiting_hook is not None:
        BlueskyMagics.pbar_manager = engine.waiting_hook
    shell.register_magics(StationMagics)
    if isinstance(shell, TerminalInteractiveShell):
        prompts = _LabelledPrompts(shell)
        prompts.label = label
        shell.prompts = prompts
