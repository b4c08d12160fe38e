"""Constraints of branches that PostgreSQL checks: values with which no request could be answered."""

from typing import Any

from django.db.models import BooleanField, Func

LANGUAGES = (
    ("de", "German"),
    ("de-AT", "German (Austria)"),
    ("de-CH", "German (Switzerland)"),
    ("en", "English"),
    ("en-GB", "English (Britain)"),
    ("en-US", "English (America)"),
)
"""What callers can be answered in, BCP 47."""


class _Condition(Func):
    """A condition on one column, written in SQL that names it several times."""

    output_field = BooleanField()

    def as_sql(self, *args: Any, **options: Any) -> tuple[str, tuple[Any, ...]]:
        """Return the condition with the column's parameters as often as it is named: a form checks a value by it."""
        sql, parameters = super().as_sql(*args, **options)
        return sql, tuple(parameters) * str(self.template).count("%(expressions)s")


class IsTimeZone(_Condition):
    """An IANA name that PostgreSQL knows; for any other PostgreSQL raises an error of its own."""

    template = (
        "(%(expressions)s ~ '^(UTC|[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)+)$'"
        " AND timezone(%(expressions)s, '2000-01-01 00:00:00+00'::timestamptz) IS NOT NULL)"
    )


def _none_has(*paths: str) -> str:
    return " AND ".join(f"NOT jsonb_path_exists(%(expressions)s, '{path}')" for path in paths)


def _dates(member: str) -> str:
    """Return that the member of each closure is a date that exists: others raise an error, which is skipped."""
    found = f"""'$[*].{member}.datetime("YYYY-MM-DD")', '{{}}', true"""
    return f"jsonb_array_length(jsonb_path_query_array(%(expressions)s, {found})) = jsonb_array_length(%(expressions)s)"


class AreHours(_Condition):
    """Opening hours by weekday as pairs of local times, each beginning before it ends; see `bookings.opening_hours`."""

    template = "(jsonb_typeof(%(expressions)s) = 'object' AND " + _none_has(
        '$.keyvalue() ? (!(@.key like_regex "^(mon|tue|wed|thu|fri|sat|sun)$"))',
        'strict $.* ? (@.type() != "array")',
        'strict $.*[*] ? (@.type() != "array")',
        "strict $.*[*] ? (@.size() != 2)",
        'strict $.*[*][*] ? (@.type() != "string")',
        'strict $.*[*][*] ? (!(@ like_regex "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))',
        "strict $.*[*] ? (@[0] >= @[1])",
    )
    template += ")"


class AreClosures(_Condition):
    """Closures as pairs of local dates, inclusive, in order."""

    template = "(CASE WHEN jsonb_typeof(%(expressions)s) = 'array' THEN " + _none_has(
        'strict $[*] ? (@.type() != "object")',
        "strict $[*] ? (!(exists(@.first) && exists(@.last)))",
        'strict $[*].* ? (!(@ like_regex "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))',
        "strict $[*] ? (@.first > @.last)",
    )
    template += f" AND {_dates('first')} AND {_dates('last')} ELSE false END)"
