"""A console in a terminal, for tests that type into it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pexpect

PROMPT = r"\[sim\] In \[\d+\]: "
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Session:
    """A console in a terminal."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        (folder / "twinscope.toml").write_text(
            '[tem]\nprofile = "ideal"\nclock_rate = 50.0\n', encoding="utf-8"
        )
        environment = {
            **os.environ,
            "TWINSCOPE_DATA": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "MPLBACKEND": "Agg",
            "TERM": "dumb",
            **variables,
        }
        self.child = pexpect.spawn(
            sys.executable,
            list(arguments),
            cwd=str(folder),
            env=environment,  # pyright: ignore[reportArgumentType]
            encoding="utf-8",
            timeout=30,
            use_poll=True,  # a process with more than a thousand open files cannot select
            dimensions=(60, 160),
        )

    def until_prompt(self) -> str:
        self.child.expect(PROMPT)
        return _ESCAPES.sub("", self.child.before or "")

    def type(self, line: str) -> str:
        self.child.sendline(line)
        return self.until_prompt()

    def quit(self) -> None:
        self.child.sendline("exit")
        self.child.expect(pexpect.EOF, timeout=60)
        self.child.close()
