from typing import Any

from django.db import migrations, models

from cachectl.infra.permissions import rename_permissions


def rename_state(before: str, after: str) -> migrations.RunPython:
    """Return the operation that renames a state of webhook deliveries."""

    def renaming(old: str, new: str) -> Any:
        return lambda apps, _: apps.get_model("calcom", "WebhookDelivery").objects.filter(state=old).update(state=new)

    return migrations.RunPython(renaming(before, after), renaming(after, before))


class Migration(migrations.Migration):
    dependencies = [
        ("calcom", "0013_outbox"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RenameModel("Governor", "RateLimit"),
        rename_permissions("calcom", "governor", "ratelimit"),
        migrations.RenameField("eventtype", "cannot_serve", "unsupported_reasons"),
        rename_state("useless", "ignored"),
        migrations.AlterField(
            model_name="webhookdelivery",
            name="state",
            field=models.CharField(
                choices=[
                    ("received", "received"),
                    ("done", "done"),
                    ("ignored", "kept, nothing to do"),
                    ("failed", "will be tried again"),
                    ("dead_letter", "given up, needs a person"),
                ],
                default="received",
                max_length=12,
            ),
        ),
    ]
