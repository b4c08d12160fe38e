"""An HTTP cache between agents and Cal.com: nginx, where this machine has it."""

import os
import shutil
from pathlib import Path

from script.lib.processes import Supervisor, free_port, is_listening

_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    proxy_temp_path {folder}/proxy; client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=slots:10m;
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache slots;
            proxy_cache_key $request_uri;
            proxy_cache_valid 200 {max_age_s}s;
            proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
            proxy_cache_lock on;
            proxy_cache_use_stale updating error timeout;
            proxy_cache_background_update on;
        }}
    }}
}}
"""


def is_installed() -> bool:
    """Return whether this machine has nginx."""
    return _binary() is not None


def start_http_cache(supervisor: Supervisor, folder: Path, *, upstream: str, max_age_s: int) -> str:
    """Start nginx in front of `upstream`, which caches each list for so many seconds; return its URL."""
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "nginx.conf"
    # As root its workers would run as a user who may not enter the folder.
    user = "" if os.geteuid() else "user root;"
    config.write_text(_CONFIG.format(user=user, folder=folder, port=port, upstream=upstream, max_age_s=max_age_s))
    supervisor.start("nginx", [str(_binary()), "-p", str(folder), "-c", str(config)])
    supervisor.wait_until(lambda: is_listening(port), what="nginx did not answer", within=10)
    return f"http://127.0.0.1:{port}"


def _binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
