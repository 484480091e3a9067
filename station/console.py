"""``twinscope console``: IPython with the station's profile, wherever it is installed.

IPython writes its history and locks into the folder of a profile, so the shipped one is used as a
source of start-up files and configuration, and the writing goes to the data folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from station.settings import Settings

__all__ = ["profile_folder", "start_console"]


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
