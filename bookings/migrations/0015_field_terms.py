import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from cachectl.infra.permissions import rename_permissions

OPEN = ["queued", "sending", "unknown"]


def rename_kind(before: str, after: str) -> migrations.RunPython:
    def run(apps, _editor):
        apps.get_model("bookings", "Operation").objects.filter(kind=before).update(kind=after)

    def undo(apps, _editor):
        apps.get_model("bookings", "Operation").objects.filter(kind=after).update(kind=before)

    return migrations.RunPython(run, undo)


class Migration(migrations.Migration):
    dependencies = [
        ("bookings", "0014_outbox"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        # Constraints and indexes that name an old column, or whose names say an old word.
        migrations.RemoveConstraint("Change", "change_open_once"),
        migrations.RemoveConstraint("Change", "change_cancel_once"),
        migrations.RemoveConstraint("Change", "change_idempotency_key_once"),
        migrations.RemoveIndex("Change", "change_of_appointment"),
        migrations.RemoveIndex("Change", "change_newest"),
        migrations.RemoveConstraint("Appointment", "appointment_wish_once"),
        migrations.RemoveConstraint("CallbackRequest", "callback_open_once"),
        migrations.RemoveIndex("CallbackRequest", "callback_open_first"),
        migrations.RenameModel("Change", "Operation"),
        rename_permissions("bookings", "change", "operation"),
        migrations.RenameIndex("Operation", new_name="operation_open_by_time", old_name="change_open_by_time"),
        migrations.RenameField("Operation", "operation", "kind"),
        migrations.RenameField("Operation", "asked_by", "requested_by"),
        migrations.RenameField("Operation", "asked_at", "requested_at"),
        migrations.RenameField("Operation", "answer_by", "client_deadline_at"),
        migrations.RenameField("Operation", "took", "duration"),
        migrations.RenameField("Appointment", "wish", "deduplication_key"),
        migrations.RenameField("Appointment", "moves", "reschedules"),
        migrations.RenameField("Company", "max_moves", "max_reschedules"),
        migrations.RenameField("CallbackRequest", "wish", "deduplication_key"),
        migrations.RenameField("CallbackRequest", "asked_by", "requested_by"),
        migrations.RenameField("CallbackRequest", "asked_at", "requested_at"),
        migrations.RenameField("ToolCall", "operation", "endpoint"),
        migrations.RenameField("ToolCall", "asked", "request"),
        migrations.RenameField("ToolCall", "answered", "response"),
        migrations.RenameField("ToolCall", "took", "duration"),
        migrations.AddConstraint(
            "Operation",
            models.UniqueConstraint(
                fields=["appointment"], condition=models.Q(state__in=OPEN), name="operation_open_once"
            ),
        ),
        migrations.AddConstraint(
            "Operation",
            models.UniqueConstraint(
                fields=["appointment"],
                condition=models.Q(kind="cancel") & ~models.Q(state="refused"),
                name="operation_cancel_once",
            ),
        ),
        migrations.AddConstraint(
            "Operation",
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="operation_idempotency_key_once",
            ),
        ),
        migrations.AddIndex(
            "Operation", models.Index(fields=["appointment", "requested_at"], name="operation_of_appointment")
        ),
        migrations.AddIndex("Operation", models.Index(fields=["company", "-requested_at"], name="operation_newest")),
        migrations.AddConstraint(
            "Appointment",
            models.UniqueConstraint(
                fields=["company", "deduplication_key"],
                condition=~models.Q(deduplication_key="")
                & models.Q(state__in=["held", "pending", "awaiting_confirmation", "confirmed"]),
                name="appointment_deduplication_key_once",
            ),
        ),
        migrations.AddConstraint(
            "CallbackRequest",
            models.UniqueConstraint(
                fields=["company", "deduplication_key"],
                condition=~models.Q(deduplication_key="") & models.Q(state="open"),
                name="callback_open_once",
            ),
        ),
        migrations.AddIndex(
            "CallbackRequest",
            models.Index(fields=["company", "state", "requested_at"], name="callback_open_first"),
        ),
        # Help texts and labels.
        migrations.AlterField(
            model_name="agentkey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("availability:read", "list services and search for slots"),
                        ("bookings:write", "book, reschedule and cancel"),
                        ("bookings:read", "read bookings"),
                        ("callbacks:write", "request a call back"),
                        (
                            "callers:identify",
                            "state the caller's number, which comes from the network, never from a model",
                        ),
                    ],
                    max_length=30,
                ),
                default=list,
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="appointment",
            name="confirm_token",
            field=models.CharField(
                blank=True,
                editable=False,
                help_text="token that confirms its hold",
                max_length=10,
                null=True,
                unique=True,
            ),
        ),
        migrations.AlterField(
            model_name="appointment",
            name="deduplication_key",
            field=models.CharField(blank=True, default="", help_text="equal for repeats of one request", max_length=64),
        ),
        migrations.AlterField(
            model_name="appointment",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                help_text="the appointment that this duplicate was merged into",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="duplicates",
                to="bookings.appointment",
            ),
        ),
        migrations.AlterField(
            model_name="callbackrequest",
            name="deduplication_key",
            field=models.CharField(
                blank=True, default="", editable=False, help_text="equal for repeats of one request", max_length=64
            ),
        ),
        migrations.AlterField(
            model_name="callbackrequest",
            name="request_digest",
            field=models.CharField(
                blank=True,
                default="",
                editable=False,
                help_text="SHA-256 of the request sent with that key",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="claim",
            name="changed_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="last change of kind or time; database clock",
            ),
        ),
        migrations.AlterField(
            model_name="claim",
            name="kind",
            field=models.CharField(
                choices=[
                    ("held", "held"),
                    ("queued", "queued behind another write"),
                    ("pending", "pending"),
                    ("awaiting", "waits for its host to confirm it"),
                    ("confirmed", "confirmed"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="company",
            name="cancel_notice_hours",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="how long before its start an appointment can still be cancelled or rescheduled by phone",
            ),
        ),
        migrations.AlterField(
            model_name="company",
            name="max_reschedules",
            field=models.PositiveSmallIntegerField(
                default=5, help_text="how often one appointment may be rescheduled by phone"
            ),
        ),
        migrations.AlterField(
            model_name="conversation",
            name="ended_at",
            field=models.DateTimeField(
                blank=True, help_text="from then on it gives no access to appointments", null=True
            ),
        ),
        migrations.AlterField(
            model_name="conversation",
            name="failed_proofs",
            field=models.PositiveSmallIntegerField(
                default=0, help_text="failed attempts of its caller to prove who they are"
            ),
        ),
        migrations.AlterField(
            model_name="operation",
            name="appointment",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="operations",
                to="bookings.appointment",
            ),
        ),
        migrations.AlterField(
            model_name="operation",
            name="attempts",
            field=models.PositiveSmallIntegerField(default=0, help_text="number of times it was sent"),
        ),
        migrations.AlterField(
            model_name="operation",
            name="client_deadline_at",
            field=models.DateTimeField(blank=True, help_text="until when the client waits for the outcome", null=True),
        ),
        migrations.AlterField(
            model_name="operation",
            name="duration",
            field=models.DurationField(blank=True, help_text="time that Cal.com took", null=True),
        ),
        migrations.AlterField(
            model_name="operation",
            name="inconclusive_answers",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="responses that did not settle it; their number is bounded"
            ),
        ),
        migrations.AlterField(
            model_name="operation",
            name="kind",
            field=models.CharField(
                choices=[("create", "create"), ("reschedule", "reschedule"), ("cancel", "cancel")], max_length=10
            ),
        ),
        migrations.AlterField(
            model_name="operation",
            name="new_start",
            field=models.DateTimeField(blank=True, help_text="the time to reschedule to", null=True),
        ),
        migrations.AlterField(
            model_name="operation",
            name="request_digest",
            field=models.CharField(
                blank=True, default="", help_text="SHA-256 of the request sent with that key", max_length=64
            ),
        ),
        migrations.AlterField(
            model_name="operation",
            name="sent_at",
            field=models.DateTimeField(blank=True, help_text="last time it was sent to Cal.com", null=True),
        ),
        migrations.AlterField(
            model_name="operation",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "not sent yet"),
                    ("sending", "sent, no answer yet"),
                    ("done", "done"),
                    ("refused", "refused"),
                    ("unknown", "outcome not known yet"),
                    ("awaiting", "waits for the host to confirm"),
                ],
                default="queued",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="slottoken",
            name="appointment",
            field=models.ForeignKey(
                blank=True,
                help_text="the hold or booking made from it last",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="offers",
                to="bookings.appointment",
            ),
        ),
        # Last: a table cannot be altered in the transaction that has changed its rows.
        rename_kind("move", "reschedule"),
    ]
