"""What is connected, where the data go, and who is at the desk: one TOML file.

`load_settings` reads ``twinscope.toml`` of the working directory, else that of the user's
configuration folder, over defaults that work for everything. An environment variable
(``TWINSCOPE_TEM__SEED=7``) wins over the file, a value given on the command line over both.
"""

from station.settings.loading import (
    FILE_NAME,
    Settings,
    SettingsError,
    environment_of,
    load_settings,
    settings_file,
)
from station.settings.sections import (
    AFMSettings,
    LiveSettings,
    NetworksSettings,
    Section,
    SimulatorSettings,
    StageSettings,
    StorageSettings,
    TEMSettings,
)

__all__ = [
    "FILE_NAME",
    "AFMSettings",
    "LiveSettings",
    "NetworksSettings",
    "Section",
    "Settings",
    "SettingsError",
    "SimulatorSettings",
    "StageSettings",
    "StorageSettings",
    "TEMSettings",
    "environment_of",
    "load_settings",
    "settings_file",
]
