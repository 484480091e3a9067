"""What the documentation tells people to type, typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_session import Session

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TROUBLE = re.compile(r"Traceback|Error\b|error:|Exception")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def blocks(page: Path, language: str) -> list[str]:
    """Lines of all blocks of a language, in order."""
    found = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in found for line in block.splitlines() if line.strip()]


def pages_with(language: str) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in PAGES if blocks(page, language)]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path, "-m", "station", "console")
    session.until_prompt()
    yield session
    session.quit()


@pytest.mark.parametrize("page", pages_with("ipython"))
def test_the_console_does_what_the_page_shows(page: str, console: Session) -> None:
    for line in blocks(ROOT / page, "ipython"):
        said = console.type(line)
        assert not TROUBLE.search(said), f"{line}\n{said}"


@pytest.mark.parametrize("page", pages_with("console"))
def test_the_command_line_does_what_the_page_shows(page: str, tmp_path: Path) -> None:
    lines = blocks(ROOT / page, "console")
    environment = {**os.environ, "TWINSCOPE_DATA": str(tmp_path), "TWINSCOPE_STORAGE__CATALOG": "1"}
    try:
        for line, answer in zip(lines, [*lines[1:], ""], strict=True):
            if line.startswith("#"):
                continue
            done = _run(line, tmp_path, environment)
            expected = answer.removeprefix("# ").removesuffix("...").strip()
            if answer.startswith("# twinscope:"):
                assert done.returncode != 0, line
                assert " ".join(done.stderr.split()).startswith(expected), done.stderr
            else:
                assert done.returncode == 0, f"{line}\n{done.stderr}"
    finally:
        _run("twinscope catalog stop", tmp_path, environment)


def _run(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    _, *arguments = shlex.split(line)
    return subprocess.run(
        [sys.executable, "-m", "station", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target
