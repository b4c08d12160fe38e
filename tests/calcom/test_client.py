"""One call per operation, against Cal.com as it was recorded to behave."""

import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from django.db import connections

from calcom.errors import CalcomError, KeyRefused, OutcomeUnknown, Reason, Refused, Unavailable
from calcom.http import transport
from calcom.http.client import Client
from calcom.models import Account, EventType
from calcom.resilience.rate_limiter import Throttled, limiter_for
from calcom.simulator import Kind, Simulator
from calcom.types import NewBooking, Priority, RemoteState
from tests import factories
from tests.calcom.wire import answer, drips, reads_request, resets, sends, serving, silent
from tests.factories import ANNA, KARL, SUNDAY, TUESDAY, at

pytestmark = pytest.mark.django_db  # the limiter asks it, too

ANNAS = NewBooking(
    start=at(10),
    attendee_name=ANNA.name,
    attendee_email="Anna@Example.com",
    time_zone="Europe/Berlin",
    appointment_id="bk_7K3QX9M2TA4PWJ5R",
    attendee_phone=ANNA.phone,
    language="de-AT",
)
KARLS = replace(ANNAS, attendee_name=KARL.name, attendee_email="karl@example.com", appointment_id="bk_2")
POST = "POST /v2/bookings"

UNANSWERED = [
    Kind.TIMEOUT_BEFORE,
    Kind.TIMEOUT_AFTER,
    Kind.ERROR_BEFORE,
    Kind.ERROR_AFTER,
    Kind.RESET_BEFORE,
    Kind.RESET_AFTER,
    Kind.DRIP,
    Kind.HUGE,
    Kind.INVALID_JSON,
]


@pytest.fixture(autouse=True)
def _short_timeouts(settings):
    settings.CALCOM_READ_TIMEOUT = settings.CALCOM_WRITE_TIMEOUT = 0.5


@pytest.fixture
def client(salon: factories.Salon) -> Client:
    """The salon's client, at the simulator."""
    return Client(salon.account)


@pytest.fixture
def colour(salon: factories.Salon) -> EventType:
    """What Emma alone does, for an hour."""
    return salon.colour.event_type


def account_at(base_url: str) -> Account:
    """Return an account that is not saved."""
    return Account(name="Salon", base_url=base_url, api_key=factories.SALON_CREDENTIAL)


def any_type() -> EventType:
    """Return an event type that is not saved."""
    return EventType(calcom_id=2, length_minutes=60)


def test_slots_of_a_local_day_are_asked_in_instants(simulator: Simulator, client: Client, colour: EventType):
    """FM-31, FM-50: exactly what lies between the two instants, as epoch minutes."""
    first, last = at(9), at(12)

    starts = client.open_slots(event_type=colour, start=first, end=last, priority=Priority.LIVE)

    moments = [datetime.fromtimestamp(start * 60, UTC) for start in starts]
    assert moments[0] == first
    assert all(first <= moment <= last for moment in moments)


def test_a_length_is_asked_for_only_where_there_is_a_choice(simulator: Simulator, practice: factories.Practice):
    """FM-16: the server takes any duration and then refuses the booking, so only an offered one is sent."""
    both = EventType.objects.filter(account=practice.account, calcom_id=12).order_by("length_minutes")
    one_day = {
        "start": at(0, zone=factories.NEW_YORK),
        "end": at(23, zone=factories.NEW_YORK),
        "priority": Priority.LIVE,
    }

    short, long = (Client(practice.account).open_slots(event_type=each, **one_day) for each in both)
    booked = Client(practice.account).create_booking(
        event_type=both[1], booking=replace(ANNAS, start=datetime.fromtimestamp(long[0] * 60, UTC))
    )

    assert len(short) > len(long)
    assert booked.end - booked.start == timedelta(minutes=30)


def test_a_booking_comes_back_as_it_was_asked_for(simulator: Simulator, client: Client, colour: EventType):
    """FM-03: our id and the start are there to be compared."""
    booked = client.create_booking(event_type=colour, booking=ANNAS)

    assert booked.appointment_id == ANNAS.appointment_id
    assert (booked.start, booked.end) == (at(10), at(11))
    assert booked.state is RemoteState.ACCEPTED
    assert booked.host_ids == [102]
    assert booked.attendee_phone == ANNA.phone
    assert client.get_booking(uid=booked.uid) == booked


def test_a_required_field_is_answered(simulator: Simulator, practice: factories.Practice):
    """FM-61: without it Cal.com says no, with it yes."""
    check_up = practice.check_up.event_type
    booking = replace(ANNAS, start=at(10, zone=factories.NEW_YORK))

    with pytest.raises(Refused) as refused:
        Client(practice.account).create_booking(event_type=check_up, booking=booking)
    booked = Client(practice.account).create_booking(
        event_type=check_up, booking=replace(booking, fields={"insurance": "Private"})
    )

    assert refused.value.reason is Reason.INVALID
    assert "insurance" in str(refused.value)
    assert booked.state is RemoteState.ACCEPTED


def test_moving_gives_a_new_uid_and_keeps_our_id(simulator: Simulator, client: Client, colour: EventType):
    """FM-71: the chain of uids can be followed both ways."""
    first = client.create_booking(event_type=colour, booking=ANNAS)

    moved = client.reschedule(uid=first.uid, start=at(14), reason="caller asked")

    assert moved.uid != first.uid
    assert (moved.start, moved.appointment_id, moved.rescheduled_from_uid) == (at(14), ANNAS.appointment_id, first.uid)
    old = client.get_booking(uid=first.uid)
    assert (old.state, old.rescheduled_to_uid) == (RemoteState.CANCELLED, moved.uid)


def test_the_time_of_the_moved_booking_counts_as_free(simulator: Simulator, client: Client, colour: EventType):
    """FM-11: free means the host is free, the moved appointment aside."""
    booked = client.create_booking(event_type=colour, booking=ANNAS)
    window = {"event_type": colour, "start": at(9), "end": at(12), "priority": Priority.LIVE}

    with_it = client.open_slots(**window)
    without_it = client.open_slots(**window, rescheduled_uid=booked.uid)

    ten = int(at(10).timestamp() // 60)
    assert ten not in with_it
    assert ten in without_it


def test_cancelling_frees_the_time(simulator: Simulator, client: Client, colour: EventType):
    """A cancelled booking stays readable and takes no time."""
    booked = client.create_booking(event_type=colour, booking=ANNAS)

    cancelled = client.cancel(uid=booked.uid, reason="caller asked")

    assert cancelled.state is RemoteState.CANCELLED
    assert client.create_booking(event_type=colour, booking=KARLS).state is RemoteState.ACCEPTED


def test_bookings_are_found_by_attendee_and_exact_time(simulator: Simulator, client: Client, colour: EventType):
    """FM-04: the look-up finds ours, whatever the case of the address, and no other."""
    booked = client.create_booking(event_type=colour, booking=ANNAS)
    client.create_booking(event_type=colour, booking=replace(KARLS, start=at(14)))

    found = client.find_bookings(attendee_email="ANNA@example.com", start=at(10), end=at(11))
    earlier = client.find_bookings(attendee_email="anna@example.com", start=at(8), end=at(9))

    assert found == [booked]
    assert earlier == []


def test_a_look_up_reads_every_page(simulator: Simulator, client: Client, colour: EventType, monkeypatch):
    """FM-04: nothing is proved absent by half a list."""
    monkeypatch.setattr("calcom.http.client.LARGEST_PAGE", 2)
    for _ in range(5):
        simulator.book_elsewhere(2, at(10), email="anna@example.com")

    found = client.find_bookings(attendee_email="anna@example.com", start=at(10), end=at(11))

    assert len({booking.uid for booking in found}) == 5
    assert simulator.count("GET /v2/bookings") == 3


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (at(10), Reason.NOT_AVAILABLE),
        (at(10, 30), Reason.NOT_AVAILABLE),
        (at(11), Reason.NOT_AVAILABLE),  # the buffer after Anna's hour
        (at(10, on=SUNDAY), Reason.NOT_AVAILABLE),
        (at(10) - timedelta(days=30), Reason.IN_PAST),
    ],
    ids=["taken", "overlapping", "in the buffer", "closed", "past"],
)
def test_what_cannot_be_booked_is_refused(simulator: Simulator, client: Client, colour: EventType, start, reason):
    """FM-45: a no is a no, with its reason."""
    client.create_booking(event_type=colour, booking=ANNAS)

    with pytest.raises(Refused) as refused:
        client.create_booking(event_type=colour, booking=replace(KARLS, start=start))

    assert refused.value.reason is reason


def test_a_lost_race_for_one_slot_is_not_available(simulator: Simulator, client: Client, colour: EventType):
    """FM-13: of eight at once one wins, and the others hear the same no, whatever its status."""

    def book(number: int) -> object:
        try:
            return client.create_booking(
                event_type=colour, booking=replace(ANNAS, attendee_email=f"{number}@example.com")
            ).state
        except Refused as refused:
            return refused.reason
        finally:
            connections.close_all()  # each thread has looked up whether Cal.com has asked for a pause

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(book, range(8)))

    assert outcomes == [RemoteState.ACCEPTED, *[Reason.NOT_AVAILABLE] * 7]


def test_past_or_cancelled_booking_is_refused_with_its_reason(simulator: Simulator, client: Client, colour: EventType):
    """FM-10: cancelled twice, moved twice, unknown: each has its reason, and no message tells a uid."""
    moved_away = client.create_booking(event_type=colour, booking=ANNAS)
    moved = client.reschedule(uid=moved_away.uid, start=at(14), reason="caller asked")
    client.cancel(uid=moved.uid, reason="caller asked")

    reasons = []
    for attempt in (
        lambda: client.reschedule(uid=moved_away.uid, start=at(16), reason="again"),
        lambda: client.reschedule(uid=moved.uid, start=at(16), reason="again"),
        lambda: client.cancel(uid=moved.uid, reason="again"),
        lambda: client.get_booking(uid="unknownbooking00000000"),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        reasons.append(refused.value.reason)
        assert not any(uid in str(refused.value) for uid in (moved_away.uid, moved.uid, "nobodyknows"))

    assert reasons == [
        Reason.ALREADY_MOVED,
        Reason.ALREADY_CANCELLED,
        Reason.ALREADY_CANCELLED,
        Reason.NOT_FOUND,
    ]


def test_an_unknown_key_is_unauthorized(simulator: Simulator, client: Client, salon: factories.Salon):
    """FM-59: the account's key is what is wrong, and that is said."""
    salon.account.api_key = "cal_unknown"
    salon.account.save()

    with pytest.raises(KeyRefused) as refused:
        client.me()

    assert refused.value.reason is Reason.UNAUTHORIZED


@pytest.mark.parametrize("kind", UNANSWERED)
def test_a_write_without_answer_is_unknown(simulator: Simulator, client: Client, colour: EventType, kind: Kind):
    """FM-04: whether it had its effect is unknown; it is not sent again, and the look-up finds it if it is there."""
    simulator.fail(POST, kind, seconds=0.05)

    with pytest.raises(OutcomeUnknown):
        client.create_booking(event_type=colour, booking=ANNAS)

    assert simulator.count(POST) == 1
    found = client.find_bookings(attendee_email="anna@example.com", start=at(10), end=at(11))
    assert len(found) == (0 if kind.endswith("_before") else 1)


@pytest.mark.parametrize("kind", UNANSWERED)
def test_a_read_without_answer_is_unavailable(simulator: Simulator, client: Client, colour: EventType, kind: Kind):
    """FM-46: in time, asked once."""
    simulator.fail("GET /v2/slots", kind, seconds=0.05)
    began = time.monotonic()

    with pytest.raises(Unavailable):
        client.open_slots(event_type=colour, start=at(9), end=at(12), priority=Priority.LIVE)

    assert time.monotonic() - began < 5.0  # without a time-out it would take 20 s and more
    assert simulator.count("GET /v2/slots") == 1


@pytest.mark.parametrize(
    "script",
    [silent, resets, sends(), sends(answer(b"{}")[:20]), drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 200)],
    ids=["silent", "reset", "closed", "half a head", "dripping headers"],
)
def test_write_is_unknown_after_any_failure_of_the_connection(script):
    """FM-04, FM-46: once the request was sent, only a response proves its effect; the wait for it is limited."""
    began = time.monotonic()

    with serving(script) as base_url, pytest.raises(OutcomeUnknown):
        Client(account_at(base_url)).create_booking(event_type=any_type(), booking=ANNAS)

    assert time.monotonic() - began < 5.0  # without a time-out it would take 20 s and more


def test_read_on_a_closing_connection_is_sent_again(simulator: Simulator, client: Client, colour: EventType):
    """With a permit of its own, on a new connection, and the breaker counts nothing."""
    for _ in range(5):  # more than open a breaker
        client.me()
        simulator.fail("GET /v2/slots", Kind.CLOSING)
        assert client.open_slots(event_type=colour, start=at(9), end=at(12), priority=Priority.LIVE)

    assert simulator.count("GET /v2/slots") == 10
    assert permits_taken(client) == 15


def test_read_on_a_closing_connection_is_sent_again_only_once(simulator: Simulator, client: Client):
    """A Cal.com that closes every connection is one that fails."""
    client.me()
    simulator.fail("GET /v2/me", Kind.CLOSING, times=None)

    with pytest.raises(Unavailable, match="no complete answer"):
        client.me()

    assert simulator.count("GET /v2/me") == 3


def test_write_on_a_closing_connection_is_unknown_and_not_repeated(
    simulator: Simulator, client: Client, colour: EventType
):
    """That it was not read there cannot be known here."""
    client.me()
    simulator.fail(POST, Kind.CLOSING)

    with pytest.raises(OutcomeUnknown):
        client.create_booking(event_type=colour, booking=ANNAS)

    assert simulator.count(POST) == 1


def test_requests_share_a_connection_until_its_announced_end(simulator: Simulator, client: Client):
    """Cal.com's Keep-Alive header decides."""
    for announced in (5, 5, 1, 1):
        simulator.configure(keep_alive_s=announced)
        client.me()

    first, second, third, fourth = [request["connection"] for request in simulator.requests("GET /v2/me")]
    assert first == second == third
    assert fourth != third


def permits_taken(client: Client) -> int:
    limiter = limiter_for(client._account.api_key, client._account.requests_per_minute)
    return sum(limiter.state().used.values())


def test_write_that_was_not_sent_is_unavailable():
    """FM-04: a refused connection is the one failure after which a write may simply be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free_port = server.getsockname()[1]

    with pytest.raises(Unavailable):
        Client(account_at(f"http://127.0.0.1:{free_port}")).create_booking(event_type=any_type(), booking=ANNAS)


def test_429_is_unavailable_with_a_retry_time(simulator: Simulator, client: Client, colour: EventType):
    """FM-43: a write that met the limit may be sent again, after the pause; until then no request is sent."""
    simulator.fail("POST /v2/bookings", Kind.TOO_MANY)

    with pytest.raises(Unavailable) as unavailable:
        client.create_booking(event_type=colour, booking=ANNAS)
    with pytest.raises(Throttled, match="paused") as throttled:
        client.me()

    assert 55 <= unavailable.value.retry_after <= 60
    assert throttled.value.retry_after > unavailable.value.retry_after  # background work stays away for a window more
    assert simulator.bookings() == []
    assert simulator.count() == 1


def test_no_request_is_sent_when_none_remains(simulator: Simulator, client: Client, colour: EventType):
    """FM-40: the remaining requests that Cal.com reports are respected."""
    simulator.configure(limit=1)
    client.me()

    with pytest.raises(Throttled):
        client.create_booking(event_type=colour, booking=ANNAS)

    assert simulator.count() == 1
    assert simulator.breaches() == 0


def test_three_failures_open_the_breaker(simulator: Simulator, client: Client):
    """Reads and writes each by their own failures."""
    simulator.fail("GET /v2/me", Kind.ERROR_BEFORE, times=3)
    for _ in range(3):
        with pytest.raises(Unavailable):
            client.me()

    with pytest.raises(Unavailable, match="circuit breaker"):
        client.me()

    assert simulator.count("GET /v2/me") == 3


@pytest.mark.parametrize("version", ["2024-04-15", "2024-09-04", "nonsense"])
def test_a_wrong_version_is_noticed_by_its_shape(simulator: Simulator, client: Client, colour, settings, version):
    """FM-84: a wrong header gets 200 with another shape, which must not be parsed as bookings."""
    uid = client.create_booking(event_type=colour, booking=ANNAS).uid
    settings.CALCOM_API_VERSIONS = dict.fromkeys(settings.CALCOM_API_VERSIONS, version)

    for ask in (
        client.event_types,
        lambda: client.get_booking(uid=uid),
        lambda: client.find_bookings(attendee_email="anna@example.com", start=at(10), end=at(11)),
        lambda: client.create_booking(event_type=colour, booking=KARLS),
    ):
        with pytest.raises(CalcomError) as caught:
            ask()
        assert getattr(caught.value, "reason", None) is not Reason.NOT_FOUND


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.cal.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@api.cal.com",
        "http://10.0.0.1",
        "http://[fe80::1]",
        "ftp://127.0.0.1",
        "http://[::1",
        "127.0.0.1",
        "",
    ],
)
def test_nothing_leaves_this_machine_in_tests(base_url, monkeypatch):
    """FM-82: the guard stands before the connection, whatever the address pretends to be."""
    monkeypatch.setattr(transport, "send", lambda **_: pytest.fail("sent"))

    with pytest.raises(Unavailable):
        Client(account_at(base_url)).me()


def test_outside_of_tests_a_key_travels_encrypted_only(settings, monkeypatch):
    """FM-83: plain HTTP is for this machine."""
    settings.CALCOM_LOOPBACK_ONLY = False
    sent_to = []
    monkeypatch.setattr(
        transport, "send", lambda url, **_: sent_to.append(url) or transport.Answer(200, {}, b'{"data":{"id":1}}')
    )

    with pytest.raises(Unavailable, match="https"):
        Client(account_at("http://api.cal.com")).me()
    Client(account_at("https://api.cal.com/")).me()

    assert sent_to == ["https://api.cal.com/v2/me"]


def test_one_line_a_request_and_nothing_secret_in_it(simulator, client, colour, caplog):
    """FM-83: neither key nor uid nor caller is in any log, at any level, nor in an error or its chain."""
    caplog.set_level(logging.CRITICAL, logger="aiohttp")  # Cal.com's own log
    caplog.set_level(logging.DEBUG)
    booked = client.create_booking(event_type=colour, booking=ANNAS)
    caplog.clear()
    simulator.fail("POST /v2/bookings/{uid}/cancel", Kind.RESET_BEFORE)

    with pytest.raises(OutcomeUnknown) as unknown:
        client.cancel(uid=booked.uid, reason="caller asked")
    client.get_booking(uid=booked.uid)
    client.find_bookings(attendee_email=booked.attendee_email, start=at(10), end=at(11))
    logging.getLogger("tests").error("failed", exc_info=unknown.value)

    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [(line["operation"], line["outcome"], line["priority"]) for line in lines] == [
        ("cancel", "unknown", "write"),
        ("get_booking", "ok", "write"),
        ("find_bookings", "ok", "write"),
    ]
    assert lines[1]["status"] == 200
    assert lines[1]["upstream_request_id"]
    assert lines[1]["took_ms"] > 0
    everything = caplog.text + repr(lines) + repr(unknown.value) + repr(client) + repr(ANNAS)
    leaked = [
        secret for secret in (booked.uid, factories.SALON_CREDENTIAL, "anna@", ANNA.phone) if secret in everything
    ]
    assert leaked == []


def test_a_naive_time_is_not_sent():
    """FM-50: an instant or nothing."""
    with pytest.raises(ValueError, match="naive"):
        Client(account_at("http://127.0.0.1:9")).reschedule(
            uid="x", start=datetime.combine(TUESDAY, datetime.min.time()), reason="x"
        )


@pytest.mark.parametrize(
    ("tag", "sent"), [("de", "de"), ("de-AT", "de"), ("pt-BR", "pt-BR"), ("tlh", "en"), ("EN-us", "en"), ("", "en")]
)
def test_the_nearest_language_is_sent(tag, sent):
    """FM-61: a language that Cal.com does not know would make it refuse the booking."""
    requests = []

    def script(connection: socket.socket) -> None:
        requests.append(reads_request(connection))

    with serving(script) as base_url, pytest.raises(OutcomeUnknown):
        Client(account_at(base_url)).create_booking(event_type=any_type(), booking=replace(ANNAS, language=tag))

    [request] = requests
    assert orjson.loads(request.partition(b"\r\n\r\n")[2])["attendee"]["language"] == sent
