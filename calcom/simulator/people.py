"""The operations on users and their schedules."""

from calcom.simulator.call import Answer, Call, success
from calcom.simulator.errors import refused
from calcom.simulator.world import WEEKDAYS, Json, User


async def me(call: Call) -> Answer:
    """GET /v2/me."""
    user = call.caller
    return success(
        {
            "id": user.id,
            "email": user.address,
            "name": user.name,
            "avatarUrl": None,
            "bio": None,
            "timeFormat": 12,
            "defaultScheduleId": _schedule_id(user),
            "weekStart": "Sunday",
            "timeZone": user.time_zone,
            "username": user.username,
            "organizationId": None,
        }
    )


async def schedules(call: Call) -> Answer:
    """GET /v2/schedules: everybody has one."""
    return success([_schedule(call.caller)])


async def default_schedule(call: Call) -> Answer:
    """GET /v2/schedules/default."""
    return success(_schedule(call.caller))


async def schedule(call: Call) -> Answer:
    """GET /v2/schedules/{id}."""
    if call.params["schedule_id"] != str(_schedule_id(call.caller)):
        raise refused(404, f"Schedule with ID={call.params['schedule_id']} does not exist.")
    return success(_schedule(call.caller))


async def schedules_old(call: Call) -> Answer:
    """GET /v2/schedules as 2024-04-15 had it: days are numbers, Sunday is 0."""
    written = _schedule(call.caller)
    for hours in written["availability"]:
        hours["days"] = [(WEEKDAYS.index(day) + 1) % 7 for day in hours["days"]]
    return success([written])


def _schedule_id(user: User) -> int:
    return user.id + 100


def _schedule(user: User) -> Json:
    return {
        "id": _schedule_id(user),
        "ownerId": user.id,
        "name": "Working hours",
        "timeZone": user.time_zone,
        "availability": [
            {"days": list(hours.days), "startTime": hours.start, "endTime": hours.end} for hours in user.hours
        ],
        "isDefault": True,
        "overrides": [
            {"date": override.date, "startTime": override.start, "endTime": override.end} for override in user.overrides
        ],
    }
