"""What a company has in the database, whatever tables there are; and rows of one company that lean on another's."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from script.lib.processes import StageError

if TYPE_CHECKING:
    from django.db.models import Model  # needs the settings

Row = tuple[str, Any]
"""A table, and the primary key."""
# The path of rows that an account has, and with it each company that it serves.
_OF_ACCOUNT = "account"


def rows_of(company_id: int) -> dict[Row, Mapping[str, Any]]:
    """Return all rows of a company and of its account, with all their columns."""
    from bookings.models import Company  # noqa: PLC0415  needs the settings

    account_id = Company.objects.values_list("account", flat=True).get(pk=company_id)
    owner = {True: account_id, False: company_id}
    return {
        (model.__name__, values["pk"] if "pk" in values else values[model._meta.pk.attname]): values
        for model, path in _owned()
        for values in model._default_manager.filter(**{path: owner[path == _OF_ACCOUNT]}).values()
    }


def differences(before: Mapping[Row, Mapping[str, Any]], after: Mapping[Row, Mapping[str, Any]]) -> list[str]:
    """Return which rows are new, gone or changed, a line each, without what stands in them."""
    lines = [f"{name} is new" for name, _ in after.keys() - before.keys()]
    lines += [f"{name} is gone" for name, _ in before.keys() - after.keys()]
    for row in before.keys() & after.keys():
        changed = [column for column, value in before[row].items() if after[row][column] != value]
        lines += [f"{row[0]} has another {', '.join(changed)}"] * bool(changed)
    return sorted(lines)


def crossing() -> list[str]:
    """Return which tables have rows of one company that point to another company's rows, a line each."""
    from django.db.models import F, ForeignKey  # noqa: PLC0415  needs the settings

    paths = {model: path for model, path in _owned() if path != _OF_ACCOUNT}
    lines = []
    for model, path in paths.items():
        for column in model._meta.get_fields():
            if not isinstance(column, ForeignKey) or column.related_model not in paths:
                continue
            there = f"{column.name}__{paths[column.related_model]}".removesuffix("__pk")
            pointing = model._default_manager.filter(**{f"{column.name}__isnull": False})
            count = pointing.exclude(**{path: F(there)}).count()
            lines += [f"{model.__name__}.{column.name}: {count} rows"] * bool(count)
    return lines


def _owned() -> "Iterator[tuple[type[Model], str]]":
    """
    Yield the tables whose rows are a company's, and how they lead to it.

    Raises:
        StageError: there is a table of which that is not known.
    """
    from django.apps import apps  # noqa: PLC0415  needs the settings

    for model in apps.get_app_config("bookings").get_models():
        if model.__name__ == "SharedBooking":
            continue  # an account's, which several companies may use; it says of nobody who comes
        path = _path(model)
        if path is None:
            raise StageError(f"Nobody knows how {model.__name__} belongs to a company: say so in {__name__}.")
        yield model, path


def _path(model: "type[Model]") -> str | None:
    if model.__name__ == "Company":
        return "pk"
    names = {column.name for column in model._meta.get_fields() if column.concrete}
    ways = {
        "company": "company",
        "branch": "branch__company",
        "appointment": "appointment__company",
        "staff": "staff__branch__company",
        "account": _OF_ACCOUNT,
    }
    return next((path for name, path in ways.items() if name in names), None)
