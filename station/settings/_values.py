"""Kinds of values that settings have, and what is said of those that cannot be used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = ["Address", "File", "Folder", "Number", "Probability", "Specimen"]


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
Probability = Annotated[Number, Field(ge=0, le=1)]
Specimen = Annotated[str, AfterValidator(_existing_specimen)]
