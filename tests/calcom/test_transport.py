"""One HTTP exchange that ends in time."""

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from calcom.http import transport
from calcom.simulator import Simulator
from tests.calcom.wire import answer, certified, drips, reads_request, resets, sends, serving, silent

OK = answer(b"{}")


def send(base_url: str, *, timeout: float = 5.0, method: str = "GET", **changes: object) -> transport.Answer:
    """Send a request that needs nothing."""
    request = {"method": method, "url": f"{base_url}/v2/me", "headers": {}, "params": {}, "body": None}
    return transport.send(**{**request, **changes}, timeout=timeout)


@contextmanager
def no_longer_than(seconds: float):
    """
    Fail if what is inside takes longer, or leaves a thread behind.

    The bound is many times the time-out, because other work may run on this machine; without the time-out it would take
    ten seconds and more.
    """
    threads = set(threading.enumerate())
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds
    assert set(threading.enumerate()) <= threads


@pytest.fixture(autouse=True)
def _new_connections():
    transport._session.cache_clear()
    yield
    transport._session().close()
    transport._session.cache_clear()


@pytest.mark.parametrize(
    "script",
    [
        silent,
        drips(b"", b"HTTP/1.1 200 OK\r\n" + b"X" * 2000),
        drips(b"HTTP/1.1 200 OK\r\n", b"".join(b"X-Filler-%d: x\r\n" % n for n in range(90))),
        drips(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        drips(answer(b"x" * 4000)[:-4000], b"x" * 4000),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 500),
        drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4000),
    ],
    ids=["silent", "status line", "headers", "100 continue", "body", "chunks", "body without length"],
)
def test_dripping_response_ends_at_the_deadline(script):
    """FM-46: the time-out is for the whole answer, not for each byte of it."""
    with serving(script) as base_url, no_longer_than(5), pytest.raises(transport.NoAnswer):
        send(base_url, timeout=0.3)


@pytest.mark.parametrize(
    "script",
    [drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 300), drips(answer(b"x" * 4000)[:-4000], b"x" * 4000)],
    ids=["headers", "body"],
)
def test_dripping_response_over_tls_ends_at_the_deadline(script, tmp_path):
    """FM-46: encryption hides no slowness; what comes in time comes through."""
    context, trusted = certified(tmp_path)
    transport._session().verify = str(trusted)

    with serving(sends(OK), context) as base_url:
        assert send(base_url).body == b"{}"
    with serving(script, context) as base_url, no_longer_than(5), pytest.raises(transport.NoAnswer):
        send(base_url, timeout=0.3)


def test_endless_tls_handshake_ends_at_the_deadline(settings):
    """FM-46: a server accepts and never responds."""
    settings.CALCOM_CONNECT_TIMEOUT = 0.2

    with serving(silent) as base_url, no_longer_than(5), pytest.raises(transport.NoAnswer):
        send(base_url.replace("http:", "https:"), timeout=60)


def test_untrusted_certificate_is_refused(tmp_path):
    """FM-83: the key is not sent to an untrusted server."""
    context, _ = certified(tmp_path)
    seen = []

    def script(connection: socket.socket) -> None:
        seen.append(reads_request(connection))

    with serving(script, context) as base_url, pytest.raises(transport.NoAnswer, match="SSLError"):
        send(base_url)

    assert seen == []


def test_each_answer_on_one_connection_has_its_own_time():
    """FM-46: what one answer leaves of its time is not what the next one gets."""
    requests_on_connection = []

    def script(connection: socket.socket) -> None:
        for _ in range(3):
            requests_on_connection.append(reads_request(connection))
            threading.Event().wait(0.8)
            connection.sendall(OK)

    with serving(script) as base_url:
        answers = [send(base_url, timeout=1.6).status for _ in range(3)]
        transport._session().close()

    assert answers == [200, 200, 200]
    assert len(requests_on_connection) == 3


def test_endless_body_is_refused():
    """FM-46: fifty megabytes are refused after five."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n"

    script = sends(head, *[b"x" * 100_000] * 500)

    with serving(script) as url, no_longer_than(10), pytest.raises(transport.NoAnswer, match="BodyTooLarge"):
        send(url)


def test_compressed_body_is_limited_after_decompression():
    """FM-46: the limit is that of the decompressed body."""
    bomb = gzip.compress(b"x" * 50_000_000)

    script = sends(answer(bomb, headers="Content-Encoding: gzip\r\n"))

    with serving(script) as base_url, pytest.raises(transport.NoAnswer, match="BodyTooLarge"):
        send(base_url)


@pytest.mark.parametrize(
    "script",
    [resets, sends(), sends(answer(b"x" * 10)[:-5]), sends(b"SMTP ready\r\n\r\n")],
    ids=["reset", "closed", "half a body", "not HTTP"],
)
def test_incomplete_response_is_no_answer(script):
    """FM-04: the request was sent, so its effect is unknown."""
    with serving(script) as base_url, pytest.raises(transport.NoAnswer):
        send(base_url, method="POST", body=b"{}")


def test_a_refused_connection_means_that_nothing_was_sent():
    """FM-04: only then may a write be sent again without a look-up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free_port = server.getsockname()[1]

    with pytest.raises(transport.NotSent):
        send(f"http://127.0.0.1:{free_port}", method="POST", body=b"{}")


def test_a_connection_that_is_not_accepted_is_given_up(settings):
    """FM-46: connecting has a shorter time of its own, and nothing was sent."""
    settings.CALCOM_CONNECT_TIMEOUT = 0.1
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)),
            no_longer_than(5),
            pytest.raises(transport.NotSent),
        ):
            send(f"http://127.0.0.1:{port}", timeout=60)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://"},
        {"url": "ftp://127.0.0.1/"},
        {"headers": {"Authorization": "Bearer a\r\nX-Evil: b"}},
        {"headers": {"Authorization": "Bearer cal_…"}},
    ],
    ids=["no host", "not HTTP", "line break in a header", "not Latin-1"],
)
def test_unsendable_request_is_not_sent(changes):
    """FM-83: a key with a stray character is a clear error, not a crash that prints it."""
    with serving(sends(OK)) as base_url, pytest.raises(transport.NotSent) as caught:
        send(base_url, **changes)

    assert "cal_" not in str(caught.value)


def test_a_redirect_is_an_answer_like_any_other():
    """FM-82: a redirect cannot take the credential elsewhere."""
    with serving(sends(answer(b"", status="302 Found", headers="Location: http://127.0.0.1:9/\r\n"))) as base_url:
        answered = send(base_url)

    assert answered.status == 302


def test_accounts_share_no_cookies_and_no_netrc(monkeypatch, tmp_path):
    """FM-59: what one account is told does not travel with another's request; our credential is the one sent."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    seen = []

    def script(connection: socket.socket) -> None:
        seen.append(reads_request(connection).lower())
        connection.sendall(answer(b"{}", headers="Set-Cookie: session=first; Path=/\r\nConnection: close\r\n"))

    with serving(script) as base_url:
        for key in ("one", "two"):
            send(base_url, headers={"Authorization": f"Bearer {key}"})

    assert b"authorization: bearer one" in seen[0]
    assert b"authorization: bearer two" in seen[1]
    assert b"cookie" not in seen[1]


def connections_used(answers: bytes, *, idle_s: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """Send twice with so much idle time between, by the clock; return over how many connections."""
    opened = []

    def script(connection: socket.socket) -> None:
        opened.append(connection)
        while reads_request(connection):
            connection.sendall(answers)

    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(transport, "time", clock)
    with serving(script) as base_url:
        send(base_url)
        clock.monotonic = lambda: 1000.0 + idle_s
        send(base_url, method="POST", body=b"{}")
        transport._session().close()
    return len(opened)


@pytest.mark.parametrize(
    ("announced", "idle_s", "connections"),
    [
        ("Keep-Alive: timeout=5\r\n", 3.9, 1),
        ("Keep-Alive: timeout=5\r\n", 4.0, 2),
        ("Keep-Alive: timeout=5\r\n", 5.97, 2),
        ("keep-alive: timeout=60, max=1000\r\n", 30.0, 1),
        ("Keep-Alive: timeout=1\r\n", 0.0, 2),
        ("Keep-Alive: max=1000\r\n", 3.9, 1),
        ("", 4.0, 2),
    ],
)
def test_connection_is_not_used_shortly_before_its_announced_end(announced, idle_s, connections, monkeypatch):
    """A request sent while the server closes an idle connection gets no answer, and a write is then unknown."""
    answers = answer(b"{}", headers=announced)

    assert connections_used(answers, idle_s=idle_s, monkeypatch=monkeypatch) == connections


def test_connection_closed_between_two_answers_is_told_apart():
    """The end of a pooled connection is no sign of trouble; the end of a new one is."""

    def script(connection: socket.socket) -> None:
        reads_request(connection)
        connection.sendall(OK)
        reads_request(connection)

    with serving(script) as base_url:
        assert send(base_url).status == 200
        with pytest.raises(transport.ConnectionClosed):
            send(base_url, method="POST", body=b"{}")
    with serving(sends()) as base_url, pytest.raises(transport.NoAnswer) as caught:
        send(base_url)
    assert not isinstance(caught.value, transport.ConnectionClosed)


def test_connection_found_closed_is_replaced_before_the_first_byte():
    """Nothing was sent on it: a write goes out on a new one, and its outcome is known."""
    closed = threading.Event()

    def script(connection: socket.socket) -> None:
        reads_request(connection)
        connection.sendall(OK)
        connection.close()
        closed.set()

    with serving(script) as base_url:
        send(base_url)
        assert closed.wait(10)

        assert send(base_url, method="POST", body=b"{}").status == 200


@pytest.mark.slow
def test_idle_connections_are_left_before_calcom_closes_them():
    """Sixty requests around the moment at which it closes: each has its answer (72 of 300 had none)."""
    pauses = [5.97 + 0.001 * number for number in range(60)]
    started = threading.Barrier(len(pauses))
    never = threading.Event()

    with Simulator.running() as simulator, ThreadPoolExecutor(len(pauses)) as threads:

        def twice(pause: float) -> tuple[int, int]:
            started.wait(30)
            first = send(simulator.base_url, timeout=30).status
            never.wait(pause)
            return first, send(simulator.base_url, timeout=30, method="POST", body=b"{}").status

        answers = list(threads.map(twice, pauses))

    assert len(answers) == len(pauses)
    assert all(first == 401 and second == 404 for first, second in answers)
