"""The operations on webhooks, of a user and of an event type."""

from typing import Any

from calcom.simulator import times
from calcom.simulator.call import Answer, Call, success
from calcom.simulator.errors import invalid, refused, violation
from calcom.simulator.loopback import require_loopback_url
from calcom.simulator.state import Webhook
from calcom.simulator.world import EventType, Json

TRIGGERS = (
    "BOOKING_CREATED",
    "BOOKING_PAYMENT_INITIATED",
    "BOOKING_PAID",
    "BOOKING_RESCHEDULED",
    "BOOKING_REQUESTED",
    "BOOKING_CANCELLED",
    "BOOKING_REJECTED",
    "BOOKING_NO_SHOW_UPDATED",
    "FORM_SUBMITTED",
    "MEETING_ENDED",
    "MEETING_STARTED",
    "RECORDING_READY",
    "RECORDING_TRANSCRIPTION_GENERATED",
    "OOO_CREATED",
    "AFTER_HOSTS_CAL_VIDEO_NO_SHOW",
    "AFTER_GUESTS_CAL_VIDEO_NO_SHOW",
    "FORM_SUBMITTED_NO_EVENT",
    "DELEGATION_CREDENTIAL_ERROR",
    "WRONG_ASSIGNMENT_REPORT",
)
_CHANGEABLE = {"subscriberUrl": "url", "triggers": "triggers", "active": "active", "secret": "secret"}


async def create(call: Call) -> Answer:
    """POST /v2/webhooks."""
    fields = _checked(call.fields)
    user_id = call.caller.id
    if any(webhook.user_id == user_id and webhook.url == fields["subscriberUrl"] for webhook in _all(call)):
        raise refused(409, "Webhook with this subscriber url already exists for this user")
    return success(_summary(_add(call, fields, user_id=user_id)), 201)


async def list_all(call: Call) -> Answer:
    """GET /v2/webhooks."""
    return success([_summary(webhook) for webhook in _all(call) if webhook.user_id == call.caller.id])


async def create_for_event_type(call: Call) -> Answer:
    """POST /v2/event-types/{id}/webhooks."""
    event_type = _event_type(call)
    return success(_summary(_add(call, _checked(call.fields), event_type_id=event_type.id)), 201)


async def list_for_event_type(call: Call) -> Answer:
    """GET /v2/event-types/{id}/webhooks."""
    event_type = _event_type(call)
    return success([_summary(webhook) for webhook in _all(call) if webhook.event_type_id == event_type.id])


async def get(call: Call) -> Answer:
    """GET one webhook, by either path."""
    webhook = _find(call)
    return success(
        _summary(webhook)
        | {
            "teamId": None,
            "userId": webhook.user_id,
            "eventTypeId": webhook.event_type_id,
            "createdAt": times.millis(webhook.created_at),
            "appId": None,
            "platform": False,
            "time": None,
            "timeUnit": None,
            "version": webhook.version,
            "oAuthClientId": None,
        }
    )


async def change(call: Call) -> Answer:
    """PATCH one webhook, by either path."""
    webhook = _find(call)
    fields = _checked(call.fields)
    await call.think()
    for name, attribute in _CHANGEABLE.items():
        if name in fields:
            setattr(webhook, attribute, fields[name])
    return success(_summary(webhook))


async def delete(call: Call) -> Answer:
    """DELETE one webhook, by either path."""
    webhook = _find(call)
    await call.think()
    call.state.webhooks.pop(webhook.id, None)
    return success(_summary(webhook))


def _add(call: Call, fields: Json, **belongs_to: int) -> Webhook:
    webhook = Webhook(
        id=call.state.new_uuid(),
        url=fields["subscriberUrl"],
        triggers=list(fields.get("triggers", ())),
        active=bool(fields.get("active", True)),
        secret=fields.get("secret"),
        template=fields.get("payloadTemplate"),
        version=fields.get("version", "2021-10-20"),
        created_at=call.state.now(),
        **belongs_to,
    )
    call.state.webhooks[webhook.id] = webhook
    return webhook


def _checked(fields: Json) -> Json:
    """Refuse triggers that do not exist, and, unlike Cal.com, addresses that are not on this machine."""
    triggers: Any = fields.get("triggers", [])
    if not isinstance(triggers, list) or not set(triggers) <= set(TRIGGERS):
        message = f"each value in triggers must be one of the following values: {', '.join(TRIGGERS)}"
        raise invalid(violation(fields, "triggers", isEnum=message))
    if "subscriberUrl" in fields:
        try:
            require_loopback_url(fields["subscriberUrl"])
        except ValueError as error:
            raise refused(400, str(error)) from error
    return fields


def _all(call: Call) -> list[Webhook]:
    return list(call.state.webhooks.values())


def _find(call: Call) -> Webhook:
    webhook_id = call.params["webhook_id"]
    webhook = call.state.webhooks.get(webhook_id)
    if webhook is None:
        raise refused(404, f"Webhook ({webhook_id}) not found")
    if webhook.user_id is None:
        _event_type(call, webhook.event_type_id)
    elif webhook.user_id != call.caller.id:
        raise refused(
            403,
            f"IsUserWebhookGuard - user with id=({call.caller.id}) is not the owner of webhook with id=({webhook_id})",
        )
    return webhook


def _event_type(call: Call, event_type_id: int | None = None) -> EventType:
    wanted = event_type_id or int(call.params["event_type_id"])
    event_type = call.state.event_types.get(wanted)
    if event_type is None or event_type.owner != call.caller.username:
        raise refused(404, f"Event type with id {wanted} not found")
    return event_type


def _summary(webhook: Webhook) -> Json:
    owner = {"userId": webhook.user_id} if webhook.user_id else {"eventTypeId": webhook.event_type_id}
    return {
        "id": webhook.id,
        "payloadTemplate": webhook.template,
        "triggers": webhook.triggers,
        "subscriberUrl": webhook.url,
        "active": webhook.active,
        "secret": webhook.secret,
        **owner,
    }
