"""What the documents list is what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["config/settings.py", "config/gunicorn.py"])
def test_every_environment_variable_is_documented(module):
    """A knob that nobody knows of cannot be turned; one that is gone must not be promised."""
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / module).read_text(encoding="utf-8")))

    assert read
    assert {name for name in read if f"`{name}`" not in OPERATIONS} == set()


def test_only_variables_that_exist_are_documented():
    """The table of variables names nothing else."""
    sources = "".join((ROOT / "config" / name).read_text(encoding="utf-8") for name in ("settings.py", "gunicorn.py"))
    table = OPERATIONS.partition("## Environment")[2].partition("## Commands")[0]
    listed = re.findall(
        r"`([A-Z_]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    )

    assert [name for name in listed if f'"{name}"' not in sources] == []


def test_every_command_is_documented():
    """And each that is documented exists."""
    commands = {path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem != "__init__"}

    assert set(re.findall(r"^\| `manage\.py (\w+)", OPERATIONS, re.MULTILINE)) == commands


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document):
    """Relative links name files that are there."""
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []
