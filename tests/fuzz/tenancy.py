"""The rows of a company, whatever tables there are; and rows of one company that reference another's."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db.models import F, ForeignKey, Model

from bookings.models import Company
from script.lib.processes import HarnessError

Row = tuple[str, Any]
"""A table, and the primary key."""
_PATHS = {
    "company": "company",
    "branch": "branch__company",
    "appointment": "appointment__company",
    "staff": "staff__branch__company",
    "account": "account",
}
"""From a row to its company, or to its account, by the first of these columns that it has."""


def rows_of(company_id: int) -> dict[Row, Mapping[str, Any]]:
    """Return all rows of a company and of its account, with all their columns."""
    account_id = Company.objects.values_list("account", flat=True).get(pk=company_id)
    return {
        (model.__name__, values["pk"] if "pk" in values else values[model._meta.pk.attname]): values
        for model, path in _owned()
        for values in model._default_manager.filter(**{path: account_id if path == "account" else company_id}).values()
    }


def differences(before: Mapping[Row, Mapping[str, Any]], after: Mapping[Row, Mapping[str, Any]]) -> list[str]:
    """Return which rows are new, gone or changed, a line each, without their content."""
    lines = [f"{name} is new" for name, _ in after.keys() - before.keys()]
    lines += [f"{name} is gone" for name, _ in before.keys() - after.keys()]
    for row in before.keys() & after.keys():
        changed = [column for column, value in before[row].items() if after[row][column] != value]
        lines += [f"{row[0]} has another {', '.join(changed)}"] * bool(changed)
    return sorted(lines)


def crossing() -> list[str]:
    """Return which tables have rows of one company that reference another company's rows, a line each."""
    paths = {model: path for model, path in _owned() if path != "account"}
    lines = []
    for model, path in paths.items():
        for column in model._meta.get_fields():
            if not isinstance(column, ForeignKey) or column.related_model not in paths:
                continue
            target = f"{column.name}__{paths[column.related_model]}".removesuffix("__pk")
            rows = model._default_manager.filter(**{f"{column.name}__isnull": False}).exclude(**{path: F(target)})
            lines += [f"{model.__name__}.{column.name}: {rows.count()} rows"] * bool(rows.count())
    return lines


def _owned() -> Iterator[tuple[type[Model], str]]:
    """Yield the tables of companies with the path to them. Raises `HarnessError` for a table without one."""
    for model in apps.get_app_config("bookings").get_models():
        if model.__name__ == "SharedBooking":
            continue  # an account's, which several companies may use; it has no personal data
        columns = {column.name for column in model._meta.get_fields() if column.concrete}
        path = "pk" if model is Company else next((path for name, path in _PATHS.items() if name in columns), None)
        if path is None:
            raise HarnessError(f"It is not known how {model.__name__} belongs to a company: add it to {__name__}.")
        yield model, path
