"""One way to Cal.com, and no other."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("config", "bookings", "calcom", "cachectl", "monitoring")
HTTP_CLIENTS = ("requests", "urllib3", "httpx", "aiohttp", "http.client", "urllib.request")
IMPORTERS = {"__import__", "import_module", "import_string"}
THE_GATE = ROOT / "calcom" / "http" / "transport.py"
SIMULATOR = ROOT / "calcom" / "simulator"


def imported_by(source: str) -> Iterator[str]:
    """Yield every module that a source imports, however it spells it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in IMPORTERS:
            yield from (ast.literal_eval(name) for name in node.args[:1] if isinstance(name, ast.Constant))


def speaks_http(source: str) -> bool:
    """Return whether a source imports an HTTP client."""
    names = set(imported_by(source))
    return any(name == client or name.startswith(f"{client}.") for name in names for client in HTTP_CLIENTS)


def test_only_the_transport_imports_an_http_client():
    """FM-40: a request that bypasses the rate limiter fails here."""
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py") if SIMULATOR not in path.parents]

    speaking = [path for path in sources if speaks_http(path.read_text("utf-8"))]

    assert speaking == [THE_GATE]


def test_only_the_client_uses_the_transport():
    """FM-21, FM-40: the gate has one user, and that user sends in one place."""
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py")]

    senders = [path.name for path in sources if "transport.send(" in path.read_text("utf-8")]

    assert senders == ["client.py"]
    assert (ROOT / "calcom" / "http" / "client.py").read_text("utf-8").count("transport.send(") == 1


def test_import_check_finds_every_spelling():
    """FM-40: the guard itself is awake."""
    spellings = (
        "import requests",
        "import requests.adapters as r",
        "from urllib import request",
        "from http import client",
        "def f():\n    import httpx",
        "__import__('aiohttp')",
        "importlib.import_module('urllib3')",
    )

    assert all(speaks_http(spelling) for spelling in spellings)
    assert not speaks_http("from urllib.parse import quote\nfrom http import HTTPStatus\nimport requestsish")
