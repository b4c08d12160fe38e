"""docs/failure-modes.md is complete: every row has a test that cites it, and every cited id has a row."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_ROW = re.compile(r"\| (FM-\d\d) \|.*\| (?:`(?P<test>[^`]+)`|none) \|")
_ID = re.compile(r"FM-\d\d")
_PRODUCT = ("bookings", "cachectl", "calcom", "config", "monitoring")


def test_failure_modes_page_names_a_test_that_cites_each_row() -> None:
    missing = [
        row for row, test in _rows().items() if test is not None and row not in _ids_cited_by(test) and "::" in test
    ]

    assert not missing


def test_failure_modes_page_has_a_row_for_each_id_that_tests_cite() -> None:
    cited = {each for path in _test_files() for each in _ID.findall(path.read_text(encoding="utf-8"))}

    assert cited <= set(_rows()), "cited, and not on the page"


def test_failure_modes_page_proves_every_row_that_is_handled() -> None:
    """A row without a test says that it is not handled."""
    page = (ROOT / "docs/failure-modes.md").read_text(encoding="utf-8").splitlines()
    unproven = [line for line in page if line.endswith("| none |")]

    assert all("Not handled yet" in line for line in unproven)


def test_product_code_lists_no_redis_keys() -> None:
    """FM-30: neither `KEYS` nor `SCAN`, in Python or in a Lua script."""
    pattern = re.compile(
        r"""\.(?:keys|scan|scan_iter)\(\s*["'*]|redis\.call\(\s*['"](?:KEYS|SCAN)['"]""", re.IGNORECASE
    )
    sources = [path for app in _PRODUCT for suffix in ("py", "lua") for path in (ROOT / app).rglob(f"*.{suffix}")]

    assert sources
    assert not [str(path) for path in sources if pattern.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", ["tests/none.py::test_x", "tests/test_failure_modes.py::test_that_is_not_there"])
def test_failure_modes_check_notices_a_test_that_is_not_there(path: str) -> None:
    assert not _ids_cited_by(path)


def _rows() -> Mapping[str, str | None]:
    """Return the path of the test that proves it, by id; None where there is none."""
    page = (ROOT / "docs/failure-modes.md").read_text(encoding="utf-8")
    return {match[1]: match["test"] for match in _ROW.finditer(page)}


def _ids_cited_by(test: str) -> set[str]:
    path, _, name = test.partition("::")
    if not (ROOT / path).exists():
        return set()
    return {each for node in _functions(ROOT / path, name) for each in _ID.findall(ast.get_docstring(node) or "")}


def _functions(path: Path, name: str) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield node


def _test_files() -> Iterator[Path]:
    yield from (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
