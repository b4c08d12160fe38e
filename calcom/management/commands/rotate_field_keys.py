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
        parser.add_argument("--batch-size", type=int, default=BATCH, metavar="N", help="rows of one transaction")

    def handle(self, *_args: Any, batch_size: int, **_options: Any) -> None:
        """Rotate all secrets; raise `CommandError` at the end with the rows that no key fits."""
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
    """Yield the encrypted fields of all models; `str()` of one names app, model and field."""
    for model in apps.get_models():
        for field in model._meta.local_fields:  # noqa: SLF001  documented; a proxy has none of its own
            if isinstance(field, EncryptedTextField):
                yield field


def _rotate(field: EncryptedTextField, batch_size: int) -> tuple[int, int, list[object]]:
    """Return the number of secrets, that of those encrypted again, and the ids of rows that no key fits."""
    # As text, so that it is not decrypted: an unreadable secret must not stop the others.
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
                if new != token:  # a secret that is replaced meanwhile stays
                    same = everything.filter(pk=pk, token=token)
                    changed += same.update(**{field.name: models.Value(new, output_field=models.TextField())})
        seen += len(batch)
        last = batch[-1][0]
