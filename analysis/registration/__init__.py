"""How far has the field of view moved between two images? See `pair`."""

from .pair import Registration, register

__all__ = ["Registration", "register"]
