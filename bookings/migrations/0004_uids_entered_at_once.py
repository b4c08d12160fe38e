import django.contrib.postgres.indexes
from django.db import migrations

# Changed where it stands: to make it anew would keep writers out for as long as that takes.
SWITCH = "ALTER INDEX appointment_by_earlier_uids SET (fastupdate = {})"


class Migration(migrations.Migration):

    dependencies = [
        ("bookings", "0003_callbacks"),
    ]

    operations = [
        migrations.RunSQL(
            SWITCH.format("off"),
            SWITCH.format("on"),
            state_operations=[
                migrations.RemoveIndex(model_name="appointment", name="appointment_by_earlier_uids"),
                migrations.AddIndex(
                    model_name="appointment",
                    index=django.contrib.postgres.indexes.GinIndex(
                        fields=["earlier_remote_uids"], fastupdate=False, name="appointment_by_earlier_uids"
                    ),
                ),
            ],
        ),
    ]
