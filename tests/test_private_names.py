"""Product code uses no private name of a library: what begins with an underscore there may change in any version."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest

from script.lib.local import ROOT

APPS = ("bookings", "cachectl", "calcom", "config", "monitoring")
# Names that their libraries document in spite of the underscore: Django's model options and managers, named tuples.
DOCUMENTED = {"_meta", "_default_manager", "_replace", "_make", "_asdict", "_fields"}
# Where there is no public way: the module, the name, and the decision that says what is lost without it.
ALLOWED: dict[tuple[str, str], str] = {}


def is_private(name: str) -> bool:
    """Return whether a name is private by its form, and none of Python's own."""
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED | {"_"}


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax trees of all product modules, by path."""
    paths = (path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts)
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def own_names() -> frozenset[str]:
    """Return the private names that product modules define themselves."""
    return frozenset(name for tree in modules().values() for node in ast.walk(tree) for name in defined(node))


def defined(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store(), value=ast.Name(id="self")):
            yield name


def foreign_names(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield the private names in a module that belong to a library."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] not in APPS:
                yield from (part for part in module.split(".") if is_private(part))
                yield from (alias.name for alias in names if is_private(alias.name))
            case ast.Import(names=names):
                yield from (part for alias in names for part in alias.name.split(".") if is_private(part))
            case ast.Attribute(attr=name, value=ast.Call(func=ast.Name(id="super"))) if is_private(name):
                yield name
            case ast.Attribute(attr=name) if is_private(name) and name not in own_names():
                yield name
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(str(name)), *_]):
                if is_private(name) and name not in own_names():
                    yield name
            case ast.ClassDef():
                yield from overridden(path, node)


def overridden(path: str, node: ast.ClassDef) -> Iterator[str]:
    """Yield the private names of a class of ours that replace those of a library's class."""
    names = {name for statement in node.body for name in defined(statement) if is_private(name)}
    ours = getattr(import_module(path.removesuffix(".py").replace("/", ".")), node.name, None) if names else None
    if isinstance(ours, type):
        theirs = [base for base in ours.__mro__ if base.__module__.split(".")[0] not in APPS]
        yield from (name for name in names if any(name in vars(base) for base in theirs))


@pytest.mark.parametrize("path", modules())
def test_module_uses_no_private_name_of_a_library(path: str) -> None:
    """Each exception has a decision that names what is lost without it."""
    allowed = {name for where, name in ALLOWED if where == path}

    assert set(foreign_names(path, modules()[path])) == allowed


@pytest.mark.parametrize("decision", set(ALLOWED.values()))
def test_decision_on_a_private_name_exists(decision: str) -> None:
    """A reader can look up why."""
    assert (ROOT / "docs" / "adr" / decision).exists()


@pytest.mark.parametrize(
    "source",
    [
        "from redis._parsers import x",
        "import urllib3._collections",
        "from redis.client import _Pool",
        "pool._checkpid()",
        "super()._connect()",
        "getattr(request, '_auth', None)",
    ],
)
def test_private_name_of_a_library_is_found(source: str) -> None:
    """Whichever way it is used."""
    assert list(foreign_names("manage.py", ast.parse(source)))
