"""Where a call is handed over to a person, and until when one is there."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bookings.models import Branch


def hand_over(branch: Branch | None, *, now: datetime) -> dict[str, str]:
    """Return `transfer_number` (E.164) and `person_available_until` (local clock); empty while no one is there."""
    until = _open_until(branch, now) if branch and branch.transfer_phone else None
    if branch is None or until is None:
        return {"transfer_number": "", "person_available_until": ""}
    return {"transfer_number": branch.transfer_phone, "person_available_until": until.strftime("%H:%M")}


def _open_until(branch: Branch, now: datetime) -> datetime | None:
    hours = branch.hours()
    minute = int(now.timestamp()) // 60
    for first, last in hours.between(now, now):
        if first <= minute < last:
            return datetime.fromtimestamp(last * 60, UTC).astimezone(ZoneInfo(branch.time_zone))
    return None
