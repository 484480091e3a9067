"""IPython, made ours: magics on the one RunEngine, and a prompt that says what is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bluesky import RunEngine
from bluesky.magics import BlueskyMagics
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from IPython.terminal.prompts import Prompts
from pygments.token import Token

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["StationMagics", "set_up"]


class StationMagics(BlueskyMagics):
    """``%mov``, ``%movr``, ``%ct``, ``%wa`` on the station's own RunEngine.

    bluesky's magics take the progress bar away after a move; these leave it.
    """

    def _ensure_idle(self) -> None:
        super()._ensure_idle()
        self.RE.waiting_hook = self.pbar_manager  # pyright: ignore[reportAttributeAccessIssue]


class _LabelledPrompts(Prompts):
    """The usual prompt behind a label."""

    label = ""

    def in_prompt_tokens(self) -> list[tuple[Any, str]]:
        """Label, then number."""
        return [(Token.Prompt, f"[{self.label}] "), *super().in_prompt_tokens()]


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
