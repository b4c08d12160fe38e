"""How far a reader must jump to follow one booking and one search; the command behind `script/trace`."""

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

from script.lib.environment import Environment, calcom_data, running_servers

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bookings", "calcom", "cachectl", "monitoring")
DOMAINS = ("bookings/availability/", "bookings/scheduling/")
TO_COME = timedelta(days=3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trace one call of each kind, and print its figures."""
    parser = argparse.ArgumentParser(prog="script/trace", description=__doc__)
    parser.add_argument("--files", action="store_true", help="print each stay: the file and the functions entered")
    options = parser.parse_args(arguments)
    dataset = calcom_data({"salon": {"cut": []}})
    with running_servers("trace") as servers, servers.environment(dataset, processes=1) as environment:
        recorder = Recorder()
        for name, call in _calls(environment):
            with recorder.recording():
                call()
            show(name, recorder.entered, files=options.files)
    return 0


def _calls(environment: Environment) -> Iterator[tuple[str, Callable[[], object]]]:
    from django.utils import timezone  # noqa: PLC0415  models, which need the settings

    from bookings.availability.calendar_view import Calendar  # noqa: PLC0415
    from bookings.availability.criteria import TimeCriteria  # noqa: PLC0415
    from bookings.availability.search import AvailabilityQuery, search  # noqa: PLC0415
    from bookings.models import Service  # noqa: PLC0415
    from bookings.scheduling import booking  # noqa: PLC0415
    from cachectl.infra.deadline import Deadline  # noqa: PLC0415
    from calcom.service import CalcomService  # noqa: PLC0415

    company_id = environment.tenant().company_id
    service = Service.objects.select_related("branch__company", "event_type__account").get()
    calcom = CalcomService(service.event_type.account, tenant=company_id)

    def find(day: datetime) -> list[datetime]:
        zone = environment.tenant().zone
        query = AvailabilityQuery(service, [Calendar(service.event_type)], TimeCriteria.on([day.date()], zone))
        found = search(query, now=timezone.now(), calcom=calcom, deadline=Deadline.after(10))
        return [offer.start for offer in found.offers]

    def book(start: datetime, number: int) -> object:
        intent = booking.BookingIntent(
            company=service.branch.company,
            service=service,
            start=start,
            attendee_name="Ada Byron",
            attendee_email=f"ada-{number}@example.com",
            idempotency_key=f"trace-{number}",
        )
        return booking.book(intent=intent, calcom=calcom, deadline=Deadline.after(10), now=timezone.now())

    day = timezone.now() + TO_COME
    first, second, *_ = find(day)  # what is traced finds its lists in the cache, and its modules and scripts loaded
    book(first, 1)
    yield "search", lambda: find(day)
    yield "book", lambda: book(second, 2)


class Recorder:
    """Records file and function of each entry into our packages, on every thread, in order of time."""

    def __init__(self) -> None:
        self.entered: list[tuple[str, str]] = []
        self._is_on = False
        threading.setprofile(self._note)  # for threads to come: pools start theirs at their first job
        sys.setprofile(self._note)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what is entered in this context only."""
        self.entered, self._is_on = [], True
        try:
            yield
        finally:
            self._is_on = False

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if not self._is_on or event != "call" or code.co_name.startswith("<"):
            return  # lambdas and generators stand in the function that has them
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT) and (file := path.relative_to(ROOT)).parts[0] in PACKAGES:
            self.entered.append((file.as_posix(), code.co_name))


def show(name: str, entered: Sequence[tuple[str, str]], *, files: bool) -> None:
    """Print how often the file changes from one entered function to the next."""
    domain = [each for each in entered if each[0].startswith(DOMAINS)]
    for scope, calls in (("availability and scheduling", domain), ("all packages", entered)):
        stays = [file for file, _ in groupby(file for file, _ in calls)]
        print(f"{name}, {scope}: {len(set(stays))} files, {len(stays)} stays, {len(stays) - len(set(stays))} returns")
    if files:
        for file, calls_there in groupby(domain, key=lambda each: each[0]):
            print(f"  {file}: {', '.join(dict.fromkeys(function for _, function in calls_there))}")


if __name__ == "__main__":
    sys.exit(main())
