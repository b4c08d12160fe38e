from django.db import migrations, models

from cachectl.infra.permissions import rename_permissions


class Migration(migrations.Migration):
    dependencies = [
        ("cachectl", "0005_outbox"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="forgetting", name="forgetting_range_in_order"),
        migrations.RenameModel("Forgetting", "CacheInvalidation"),
        rename_permissions("cachectl", "forgetting", "cacheinvalidation"),
        migrations.RenameField("cacheinvalidation", "keys_forgotten", "keys_invalidated"),
        migrations.RenameField("cacheinvalidation", "took", "duration"),
        migrations.RenameIndex(
            "cacheinvalidation", old_name="forgetting_owed_by_time", new_name="cache_invalidation_pending"
        ),
        migrations.RenameIndex(
            "cacheinvalidation", old_name="forgetting_account_newest", new_name="cache_invalidation_newest"
        ),
        migrations.RenameIndex(
            "cacheinvalidation", old_name="forgetting_prune_by_age", new_name="cache_invalidation_by_age"
        ),
        migrations.AddConstraint(
            model_name="cacheinvalidation",
            constraint=models.CheckConstraint(
                condition=models.Q(("last__gte", models.F("first"))), name="cache_invalidation_range_in_order"
            ),
        ),
    ]
