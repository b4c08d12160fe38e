"""An HTTP cache between agents and Cal.com: nginx, where this machine has it."""

import os
import shutil
from pathlib import Path

from script.lib.processes import Stage, answers, free_port

_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {place}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    proxy_temp_path {place}/proxy; client_body_temp_path {place}/body; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    proxy_cache_path {place}/cache keys_zone=slots:10m;
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache slots;
            proxy_cache_key $request_uri;
            proxy_cache_valid 200 {lifetime_s}s;
            proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
            proxy_cache_lock on;
            proxy_cache_use_stale updating error timeout;
            proxy_cache_background_update on;
        }}
    }}
}}
"""


def is_here() -> bool:
    """Return whether there is an nginx on this machine."""
    return _binary() is not None


def bring_http_cache(stage: Stage, place: Path, *, upstream: str, lifetime_s: int) -> str:
    """Start nginx before `upstream`, keeping each list for so many seconds; return its URL."""
    place.mkdir(parents=True)
    port = free_port()
    config = place / "nginx.conf"
    # As root it would work as nobody, whose the folder is not.
    user = "" if os.geteuid() else "user root;"
    config.write_text(_CONFIG.format(user=user, place=place, port=port, upstream=upstream, lifetime_s=lifetime_s))
    stage.start("nginx", [str(_binary()), "-p", str(place), "-c", str(config)])
    stage.wait_until(lambda: answers(port), what="nginx did not answer", within=10)
    return f"http://127.0.0.1:{port}"


def _binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
