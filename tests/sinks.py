"""Servers on loopback that keep what they are sent: a webhook and a mail server, as receivers of alerts."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Sink:
    """What was received, and when on the monotonic clock."""

    url: str
    """As apprise writes it."""
    received: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    is_down: bool = False

    def take(self, text: str) -> None:
        """Keep a message."""
        self.times.append(time.monotonic())
        self.received.append(text)


@contextmanager
def webhook() -> Iterator[Sink]:
    """Run a webhook."""
    handler: Any = type("Hook", (_Hook,), {})
    with _served(ThreadingHTTPServer(("127.0.0.1", 0), handler), handler, "json://user:secret@127.0.0.1:{}/") as sink:
        yield sink


@contextmanager
def mail_server() -> Iterator[Sink]:
    """Run a mail server."""
    handler: Any = type("Mail", (_Mail,), {})
    url = "mailto://127.0.0.1:{}?from=slotline@example.org&to=ops@example.org&mode=insecure"
    with _served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler), handler, url) as sink:
        yield sink


class _Hook(BaseHTTPRequestHandler):
    sink: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.sink.is_down:
            self.sink.take(body)
        self.send_response(503 if self.sink.is_down else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Mail(socketserver.StreamRequestHandler):
    sink: Sink

    def handle(self) -> None:
        self.wfile.write(b"220 sink\r\n")
        for line in self.rfile:
            word = line.split()[0].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.sink.take(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@contextmanager
def _served(server: Any, handler: Any, url: str) -> Iterator[Sink]:
    handler.sink = Sink(url.format(server.server_address[1]))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler.sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
