"""The sections of the settings file, with defaults that work for everything."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from station.settings._values import Address, File, Folder, Number, Probability, Specimen

__all__ = [
    "AFMSettings",
    "LiveSettings",
    "NetworksSettings",
    "Section",
    "SimulatorSettings",
    "StageSettings",
    "StorageSettings",
    "TEMSettings",
]


class Section(BaseModel):
    """A section: refuses what it does not know, and cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class TEMSettings(Section):
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
    specimen: Specimen = "procedural"
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


class AFMSettings(Section):
    """Section ``[afm]``: the atomic force microscope and its lock-in.

    Parameters
    ----------
    driver : str
        Which driver stands behind the server; ``simulated`` is always there. ``module:function``
        is one's own, see `station.drivers.open_afm`.
    surface : str
        Sample of the simulated microscope: ``ps-ldpe``, polystyrene with polyethylene;
        ``pp-rubber``, polypropylene with rubber; or ``copolymers``, a chuck with nine impact
        copolymers (A2, B1 to B5, C3, C5, E4) and a tip sample, under a probe for PeakForce QNM.
    seed : int
        From which surface and noise are drawn.
    clock_rate : float
        Instrument seconds per second of a simulated microscope.
    lockin_address : str or None
        Host of the multifrequency lock-in, for one's own driver.
    address, events, control_bind, events_bind, keys
        As of `TEMSettings`.
    """

    driver: str = "simulated"
    surface: str = "ps-ldpe"
    seed: Annotated[int, Field(ge=0)] = 0
    clock_rate: Annotated[Number, Field(gt=0)] = 1.0
    lockin_address: str | None = None
    address: Address | None = None
    events: Address | None = None
    control_bind: Address = "tcp://127.0.0.1:0"
    events_bind: Address = "tcp://127.0.0.1:0"
    keys: Folder | None = None


class SimulatorSettings(Section):
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


class StageSettings(Section):
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


class StorageSettings(Section):
    """Section ``[storage]``.

    Parameters
    ----------
    catalog : bool
        Whether the catalog service is started on demand. The journal is always written.
    """

    catalog: bool = True


class LiveSettings(Section):
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


class NetworksSettings(Section):
    """Section ``[networks]``: the model that predicts what images show.

    Parameters
    ----------
    model : str or None
        Name, or name and version (``icp:3``); without one nothing predicts.
    models : Path or None
        Folder of the models; ``models`` of the data folder unless given.
    key : Path or None
        File with the secret by which this station signs models; with it, none is loaded that it
        has not signed.
    orientations : int
        In how many orientations an image is looked at: 1, 2, 4 or 8. More are more reliable, and
        take so many times as long.
    threads : int or None
        Cores for one prediction; all of them unless given.
    timeout_s : float
        Seconds for which an answer is waited for.
    """

    model: Annotated[str, Field(min_length=1)] | None = None
    models: Folder | None = None
    key: File | None = None
    orientations: Literal[1, 2, 4, 8] = 1
    threads: Annotated[int, Field(ge=1)] | None = None
    timeout_s: Annotated[Number, Field(gt=0)] = 10.0
