"""Name the index of pending webhooks by the glossary."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("calcom", "0014_field_terms")]

    operations = [
        migrations.RenameIndex(
            model_name="webhookdelivery",
            old_name="webhook_delivery_owed_by_time",
            new_name="webhook_delivery_pending",
        ),
    ]
