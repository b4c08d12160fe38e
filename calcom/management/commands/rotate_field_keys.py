"""`manage.py rotate_field_keys`: encrypt every stored secret under the first of FIELD_KEYS."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.db.models.functions import Cast

from calcom.fields import EncryptedTextField, rotated

BATCH = 500


class Command(BaseCommand):
    """Rotate the secrets of all models."""

    help = (
        "Encrypt every stored secret under the first of FIELD_KEYS, and say how many were not. Afterwards the other "
        "keys are needed no more. Safe to run again, and beside everything else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare --batch-size."""
        parser.add_argument("--batch-size", type=int, default=BATCH, metavar="N", help="rows of one transaction")

    def handle(self, *_args: Any, batch_size: int, **_options: Any) -> None:
        """Go on after a secret that no key fits, and fail in the end, by the rows' ids."""
        if batch_size < 1:
            raise CommandError("A batch has at least one row.")
        unreadable: list[str] = []
        for field in encrypted_fields():
            name = str(field)
            seen, changed, lost = _rotate(field, batch_size)
            self.stdout.write(f"{name}: {changed} of {seen} encrypted anew.")
            unreadable += [f"{name} of row {pk}" for pk in lost]
        if unreadable:
            raise CommandError("None of FIELD_KEYS fits: " + ", ".join(unreadable))


def encrypted_fields() -> Iterator[EncryptedTextField]:
    """Yield each field of each table that holds secrets; `str()` of it names app, model and field."""
    for model in apps.get_models():
        for field in model._meta.local_fields:  # noqa: SLF001  documented; a proxy has none of its own
            if isinstance(field, EncryptedTextField):
                yield field


def _rotate(field: EncryptedTextField, batch_size: int) -> tuple[int, int, list[object]]:
    """Return how many secrets there are, how many were encrypted anew, and the ids of those that no key fits."""
    # As text, so that nothing is decrypted on the way: a secret that cannot be read must not hide the others.
    everything = models.QuerySet(field.model).annotate(token=Cast(field.name, models.TextField()))
    stored = everything.exclude(token="").order_by("pk")
    seen, changed, last = 0, 0, 0
    lost: list[object] = []
    while True:
        batch = list(stored.filter(pk__gt=last).values_list("pk", "token")[:batch_size])
        if not batch:
            return seen, changed, lost
        with transaction.atomic():
            for pk, token in batch:
                try:
                    new = rotated(token)
                except ImproperlyConfigured:
                    lost.append(pk)
                    continue
                if new != token:  # a secret that is replaced meanwhile stays what it is then
                    same = everything.filter(pk=pk, token=token)
                    changed += same.update(**{field.name: models.Value(new, output_field=models.TextField())})
        seen += len(batch)
        last = batch[-1][0]
