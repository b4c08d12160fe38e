"""How gunicorn serves web. Threads, because a request that waits for Cal.com must not keep others waiting."""

from config.env import Env

env = Env()

bind = env.text("WEB_BIND", "127.0.0.1:8000")
# One process per core; they share their loads and throttles over Redis.
workers = env.integer("WEB_PROCESSES", 2)
# Each waits with its caller, for seconds where Cal.com is slow; config/settings.py says how many of them may.
threads = env.integer("WEB_THREADS", 20)
# Its threads get whole requests only; graceful_timeout, keepalive and threads mean what they mean for gunicorn's own.
worker_class = "config.web_worker.WaitressWorker"
# Without it one of two workers often takes all connections, which halves the throughput (measured 2026-11).
reuse_port = True
# Seconds an idle connection of an agent is kept: longer than load balancers (60) and HTTP clients keep theirs (Go 90).
# A request that is sent while we close gets no answer, so it must be they who close.
keepalive = 95
# Seconds after which a process that gives no sign of life is replaced. Requests have nothing to do with it: they run on
# threads. Until then its share of the connections is not answered.
timeout = 10
graceful_timeout = 10
# Its file would be one for all servers of a user, and a container has no place for it.
control_socket_disable = True
# Requests are logged by monitoring, with an allow-list.
accesslog = None
errorlog = "-"
