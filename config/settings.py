"""
Every setting, once. Deployments differ by environment only; `env.py` reads it and refuses to start on nonsense.

Knobs that belong to one app carry its name as prefix and are read in one module of that app.
"""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from config.env import LOCAL, Env

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()

# --- What this process is ---------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", False)
# Whether its data are made up: the admin says so on every page.
DEMO = env.flag("DEMO", False)
# Signs sessions and the admin's forms. No default: a shared secret is no secret.
SECRET_KEY = env.text("SECRET_KEY", "only-for-debug" if DEBUG else None)
# Earlier ones, comma-separated, newest first: what they signed stays good while they stand here.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
# Host names that web answers to, comma-separated.
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
# Behind a TLS-terminating proxy: trust its X-Forwarded-Proto and what it adds to X-Forwarded-For, and send cookies over
# HTTPS only.
BEHIND_TLS_PROXY = env.flag("BEHIND_TLS_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS_PROXY
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS_PROXY else 0
# Its domain may have other hosts, which are not ours: neither they nor a browser's list are told.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_SSL_REDIRECT = BEHIND_TLS_PROXY
# Asked from inside, past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health(/|$)", r"^metrics$", r"^performance-metrics$"]

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "config.apps.SiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_filters",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "monitoring",
    "cachectl",
    "calcom",
    "bookings",
]

MIDDLEWARE = [
    "monitoring.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.language.PagesLocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

# What pages of the admin and of the docs may load: nothing from elsewhere. django-unfold's Alpine.js evaluates
# expressions and sets styles. Answers of the API are JSON and no page.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
    "EXCLUDE_URL_PREFIXES": (
        *(f"/v1/{name}" for name in ("availability", "bookings", "callbacks", "conversations", "holds", "operations")),
        *("/v1/services", "/v1/openapi.json", "/webhooks/", "/health", "/metrics", "/performance-metrics"),
    ),
}

# By how much a worker steps back behind web where both share a processor, as nice(1) says it.
WORKER_NICENESS = env.integer("WORKER_NICENESS", 10)

# Requests that one process of web works on at once; gunicorn reads the same variable. Three quarters of them may wait
# for Cal.com, and of these three quarters for one account: the others stay free for what is known. PostgreSQL must bear
# a connection for each, and for CALCOM_CALL_THREADS more.
WEB_THREADS = env.integer("WEB_THREADS", 20)

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True
# The largest request body that is read, bytes. A booking has 1 kB, a webhook 20 kB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Passwords are Django's; what a person may do follows from their role.
AUTHENTICATION_BACKENDS = ["bookings.roles.RoleBackend"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Operators and owners enter the admin with a second factor. Off in demos and under DEBUG only.
SECOND_FACTOR = env.flag("SECOND_FACTOR", not DEBUG)
OTP_TOTP_ISSUER = "Slotline"
# A login lasts a working day.
SESSION_COOKIE_AGE = env.integer("SESSION_HOURS", 10) * 3600

# Where a login leads that came from nowhere in particular.
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
# Those of the admin; compiled by script/setup. Callers' languages are another matter: bookings/language.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = "UTC"  # instants are stored and logged in UTC; a branch's own zone decides what callers hear
USE_TZ = True
USE_I18N = True

STATIC_URL = "static/"
# Serve the apps' static files from where they lie, so that a laptop needs no collectstatic.
WHITENOISE_USE_FINDERS = env.flag("WHITENOISE_USE_FINDERS", True)
STATIC_ROOT = None if WHITENOISE_USE_FINDERS else BASE_DIR / "staticfiles"

# --- PostgreSQL -------------------------------------------------------------------------------------------------

DATABASES = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/slotline"),
        engine="config.postgresql",
        # Before the first query of a request Django checks a kept connection: none fails because PostgreSQL restarted.
        conn_health_checks=True,
        # Seconds a connection is kept between requests.
        conn_max_age=env.integer("DATABASE_CONN_MAX_AGE", 60),
    )
}
# How a session begins: milliseconds that a lock is waited for (writers take milliseconds), that a statement and an idle
# transaction may last; and the zone that Django wants, which it would set in a trip of its own.
_SESSION = {
    "lock_timeout": 1_000,
    "statement_timeout": 10_000,
    "idle_in_transaction_session_timeout": 20_000,
    "timezone": TIME_ZONE,
}
DATABASES["default"].setdefault("OPTIONS", {}).update(
    {
        # Seconds until a connection attempt counts as failed: the database is near, and a caller is on the phone.
        "connect_timeout": env.integer("DATABASE_CONNECT_TIMEOUT", 2),
        # Milliseconds after which a machine that no longer acknowledges what is sent counts as gone.
        "tcp_user_timeout": 2_000,
        # What is asked often is planned once. A pooler that shares connections between transactions forbids it.
        "server_side_binding": True,
        "prepare_threshold": 5,
        "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
    }
)
# No transaction may be open while Cal.com thinks: services open their own, short ones.
DATABASES["default"]["ATOMIC_REQUESTS"] = False

# --- Redis ------------------------------------------------------------------------------------------------------


def _database_after(url: str) -> str:
    """Return the Redis URL with the next database number: the broker beside the cache on one server."""
    parts = urlsplit(url)
    number = parts.path.strip("/") or "0"
    if not number.isdigit():
        raise ImproperlyConfigured("REDIS_URL must end in a database number, as in redis://127.0.0.1:6379/0.")
    return urlunsplit(parts._replace(path=f"/{int(number) + 1}"))


# Days, flights, permits. A shared server wants `maxmemory-policy volatile-lfu`.
REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0")
# Celery's queues. In production a server of its own with `noeviction` and `appendonly yes`.
BROKER_URL = env.text("BROKER_URL", _database_after(REDIS_URL))
# Seconds a command, or a connection attempt, may take: a dead Redis must not be felt by a caller.
REDIS_TIMEOUT = env.number("REDIS_TIMEOUT", 0.2)

CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "sl1:django",
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",  # the default, pickle, runs what it reads
            "IGNORE_EXCEPTIONS": True,
        },
    },
}
DJANGO_REDIS_CONNECTION_FACTORY = "cachectl.infra.redis.ForDjango"

# --- Celery -----------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = BROKER_URL
# kombu's transport over Redis, but for one error that would end a worker.
if BROKER_URL.startswith(("redis://", "rediss://")):
    CELERY_BROKER_TRANSPORT = "config.broker:Transport"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5.0
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A broker that is full or has become a replica says no: without this a worker that hears it ends for good. So does one
# that has tried a hundred times to connect, after 48 minutes.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# No sender waits for another's connection: more than a process has threads that send.
CELERY_BROKER_POOL_LIMIT = 64
# Tasks for which a worker keeps its connection to PostgreSQL. Celery opens one for each, which costs more than most do.
CELERY_DB_REUSE_MAX = 1000
# One attempt: what may not be lost is a row that the relay finds again.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,  # seconds; longer than any task
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 10,
    "unacked_mutex_expire": 30,
    "socket_timeout": 0.3,
    "socket_connect_timeout": 0.3,
}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_QUEUES = [Queue(name) for name in ("cache", "refresh", "bookings", "webhooks", "default")]
CELERY_TASK_ROUTES = {
    "cachectl.invalidate_range": {"queue": "cache"},
    "cachectl.relay_outbox": {"queue": "cache"},
    "cachectl.ensure_generation": {"queue": "cache"},
    "cachectl.refresh": {"queue": "refresh"},
    "bookings.check_availability": {"queue": "refresh"},
    "bookings.check_account": {"queue": "refresh"},
    "bookings.*": {"queue": "bookings"},
    "calcom.webhooks.*": {"queue": "webhooks"},
}
_QUEUES = [queue.name for queue in CELERY_TASK_QUEUES]


def _every(seconds: float, task: str) -> dict[str, Any]:
    """Send a task again and again. A message that no worker took for a minute longer than that is not worth taking."""
    # Not sooner: beat's clock says when, a worker's clock judges, and they may differ by ten seconds.
    return {"task": task, "schedule": seconds, "options": {"expires": seconds + 60}}


def _sign_of_life(queue: str) -> dict[str, Any]:
    entry = _every(20, "monitoring.note_heartbeat")
    return {**entry, "kwargs": {"queue": queue}, "options": {**entry["options"], "queue": queue}}


CELERY_BEAT_SCHEDULE = {
    "relay outboxes": _every(5, "cachectl.relay_outbox"),
    "notice an emptied Redis": _every(10, "cachectl.ensure_generation"),
    "expire holds": _every(30, "bookings.expire_holds"),
    "serve the waiting list": _every(60, "bookings.serve_waiting_list"),
    "keep holds": _every(30, "bookings.keep_holds"),
    "end silent conversations": _every(60, "bookings.end_silent_conversations"),
    "check availability": _every(60, "bookings.check_availability"),
    "detect overlaps": _every(60, "bookings.detect_overlaps"),
    "prune webhooks": _every(86_400, "calcom.webhooks.prune"),
    "prune shared bookings": _every(86_400, "bookings.prune_shared_bookings"),
    "poll bookings": _every(15, "calcom.poll_bookings"),
    "delete expired offers": _every(3600, "bookings.delete_expired_offers"),
    "prune the cache's history": _every(3600, "cachectl.prune"),
    "evaluate urgent alerts": _every(5, "monitoring.evaluate_urgent_alerts"),
    "evaluate alerts": _every(60, "monitoring.evaluate_alerts"),
    "prune alerts and samples": _every(3600, "monitoring.prune"),
    # One for each queue: which worker is silent shows by the queue that it does not read.
    **{f"sign of life of {queue}": _sign_of_life(queue) for queue in _QUEUES},
}
# Where beat remembers what it last sent.
CELERY_BEAT_SCHEDULE_FILENAME = env.text("BEAT_SCHEDULE_FILE", str(LOCAL / "beat-schedule"))

# --- calcom: how we talk to Cal.com -----------------------------------------------------------------------------

# Fernet keys, comma-separated: the first encrypts, all decrypt. `manage.py generate_field_key` makes one.
FIELD_KEYS = env.words("FIELD_KEYS", "" if not DEBUG else "b25seS1mb3ItZGVidWctb25seS1mb3ItZGVidWctMTE=")
# Refuse accounts whose base URL is not this machine. On in tests and demos, so that no test calls a real Cal.com.
CALCOM_LOOPBACK_ONLY = env.flag("CALCOM_LOOPBACK_ONLY", DEBUG)
# Networks of the inside, in CIDR notation, to which requests may go all the same: for a Cal.com of one's own.
CALCOM_ALLOWED_NETWORKS = env.words("CALCOM_ALLOWED_NETWORKS")
# The value of `cal-api-version` for each family of operations. A wrong one does not fail, it answers differently.
CALCOM_API_VERSIONS = {
    "slots": env.text("CALCOM_VERSION_SLOTS", "2024-09-04"),
    "bookings": env.text("CALCOM_VERSION_BOOKINGS", "2024-08-13"),
    "event-types": env.text("CALCOM_VERSION_EVENT_TYPES", "2024-06-14"),
    "schedules": env.text("CALCOM_VERSION_SCHEDULES", "2024-06-11"),
}
# Seconds until a connection attempt, a read and a write count as failed. A caller never waits that long: see deadlines.
CALCOM_CONNECT_TIMEOUT = env.number("CALCOM_CONNECT_TIMEOUT", 1.0)
CALCOM_READ_TIMEOUT = env.number("CALCOM_READ_TIMEOUT", 8.0)
CALCOM_WRITE_TIMEOUT = env.number("CALCOM_WRITE_TIMEOUT", 20.0)
# Seconds between two polls of an account for changes that no webhook told: while webhooks come, and in their silence.
CALCOM_POLL_EVERY = env.number("CALCOM_POLL_EVERY", 240)
CALCOM_POLL_EVERY_IN_SILENCE = env.number("CALCOM_POLL_EVERY_IN_SILENCE", 60)
# How many reads one process has in flight at once, and as many writes; an account has half of what others leave.
CALCOM_CALL_THREADS = env.integer("CALCOM_CALL_THREADS", 16)
# How many processes may send to Cal.com: while Redis is away they divide what little goes.
CALCOM_PROCESSES = env.integer("CALCOM_PROCESSES", 8)
# How many calls all of them have in flight at most, in practice: left free after Redis has lost its memory.
CALCOM_IN_FLIGHT = env.integer("CALCOM_IN_FLIGHT", 32)

# --- cachectl: freshness of cached days ------------------------------------------------------------------------

# Seconds: up to FRESH answers; up to STALE answers and refreshes; up to OLD loads first, else answers unverified.
CACHE_MAX_AGE = env.number("CACHE_MAX_AGE", 120)
CACHE_STALE_WHILE_REVALIDATE = env.number("CACHE_STALE_WHILE_REVALIDATE", 900)
CACHE_STALE_IF_ERROR = env.number("CACHE_STALE_IF_ERROR", 86_400)
# Seconds a load must begin after a change to know of it. Cal.com caches slot lists for 2 s (recorded 2026-11-21).
CACHE_CONSISTENCY_LAG = env.number("CACHE_CONSISTENCY_LAG", 2.5)
# Seconds within which callers who accept no cached list (Cache-Control: no-cache) have a day reloaded once at most.
CACHE_MIN_RELOAD_INTERVAL = env.number("CACHE_MIN_RELOAD_INTERVAL", 10)
# Days one load covers at least. A request counts the same for one day as for six weeks, and Cal.com's own pages ask for
# whole months: a search for a day of the next four weeks finds two weeks from there in one load.
CACHE_PREFETCH_DAYS = env.integer("CACHE_PREFETCH_DAYS", 42)

# --- bookings: what agents may ask ------------------------------------------------------------------------------

# Seconds an agent waits for an answer, unless it says so itself (Prefer: wait=3).
BOOKINGS_READ_WAIT = env.number("BOOKINGS_READ_WAIT", 2.0)
BOOKINGS_WRITE_WAIT = env.number("BOOKINGS_WRITE_WAIT", 3.5)
# Seconds without a request after which a phone call is over: what it held is free, and it opens no appointments.
BOOKINGS_CONVERSATION_SILENCE = env.number("BOOKINGS_CONVERSATION_SILENCE", 900)
# Cached lists of each account that are compared with Cal.com a minute, in budget that callers leave; 0 for none. Each
# is one request, and none is sent where nothing is known.
BOOKINGS_CHECKS_A_MINUTE = env.integer("BOOKINGS_CHECKS_A_MINUTE", 1)
# Domain of the addresses given to callers without e-mail. Cal.com wants one; it must be a domain you own.
BOOKINGS_ATTENDEE_DOMAIN = env.text("BOOKINGS_ATTENDEE_DOMAIN", "callers.invalid" if DEBUG else None)
# Requests that one agent key may send, to all processes together.
BOOKINGS_THROTTLE_RATE = env.rate("BOOKINGS_THROTTLE_RATE", "6000/minute")
# Unknown keys that are looked up for one address, by all processes together. More get 429, unless valid before.
BOOKINGS_GUESS_RATE = env.rate("BOOKINGS_GUESS_RATE", "30/minute")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["bookings.api.auth.AgentKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["bookings.api.auth.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["bookings.api.throttling.AgentKeyThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["bookings.api.wire.Renderer"],
    "DEFAULT_PARSER_CLASSES": ["bookings.api.wire.Parser"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS tells nothing: the schema does
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "bookings.api.wire.AlwaysJson",
    # The namespace of the URL map is the version: the prefix stays a literal, which route labels of metrics need.
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
    "DEFAULT_VERSION": "v1",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "bookings.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Slotline",
    "DESCRIPTION": "The booking line between phone voice agents and Cal.com.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "ENFORCE_NON_BLANK_FIELDS": True,
    "POSTPROCESSING_HOOKS": [],  # choices stand where they are used, without made-up names
    # The page's scripts come from the package drf-spectacular-sidecar: it loads nothing from the internet.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "tryItOutEnabled": True},
}

# --- monitoring -------------------------------------------------------------------------------------------------

# What this code calls itself in /health. A deployment may name its commit; without one it is the project's version.
RELEASE = env.text("RELEASE", tomllib.loads((BASE_DIR / "pyproject.toml").read_text("utf-8"))["project"]["version"])
# Bearer token for /metrics and /performance-metrics. Empty: loopback and private networks only, and no proxy between.
MONITORING_TOKEN = env.text("MONITORING_TOKEN", "")
# Where traces are sent (a collector's address, for OTLP over HTTP); empty for none. OpenTelemetry reads the other
# variables of its own. Needs what requirements-otel.txt names.
OTEL_EXPORTER_OTLP_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_ENDPOINT", "")
# The directory in which web, workers and commands of one machine count together: on a disk of that machine, or a volume
# that its containers share. docs/adr/0007 has the rest.
PROMETHEUS_MULTIPROC_DIR = env.text("PROMETHEUS_MULTIPROC_DIR", str(LOCAL / "metrics"))
# Where messages about alerts are sent, comma-separated, as apprise writes channels: mailto://, slack://, msteams://,
# pagerduty://, json://. They hold passwords, so ALERT_URLS_FILE is the better place. Without one nothing is sent.
ALERT_URLS = env.words("ALERT_URLS")
# Where the pages of docs/runbooks can be read; each alert has a link.
RUNBOOKS_URL = env.text("RUNBOOKS_URL", "docs/runbooks")
# The least important lines that are written: DEBUG, INFO, WARNING, ERROR.
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()

# One JSON object a line, on standard error, for web and workers alike; what may be in it: monitoring/logs.py.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "monitoring.logs.JsonLines"}},
    # Monitoring's middleware logs every request once; of Django's own lines only exceptions say more.
    "filters": {
        "exceptions": {"()": "django.utils.log.CallbackFilter", "callback": lambda record: bool(record.exc_info)}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Django's own handlers print requests as they came; its lines go through ours.
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.server": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.request": {"filters": ["exceptions"]},
        # Tasks run every few seconds: they log what they did, and a failure is a warning or an error.
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # Its lines hold paths, which may hold what a caller said. What fails in a view, Django logs.
        "waitress": {"level": "CRITICAL"},
        # Its lines hold URLs of channels, which hold passwords. What fails, monitoring/notifications.py logs.
        "apprise": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}

UNFOLD = {
    "SITE_TITLE": "Slotline",
    "SITE_HEADER": "Slotline",
    "SITE_SUBHEADER": "bookings.frame.sidebar.subheader",
    "SHOW_LANGUAGES": True,
    "SITE_SYMBOL": "phone_in_talk",
    "SITE_URL": None,
    "ENVIRONMENT": "bookings.frame.sidebar.environment",
    "ENVIRONMENT_TITLE_PREFIX": "[Demo]" if DEMO else None,
    # The index is the day of a branch.
    "DASHBOARD_CALLBACK": "bookings.admin.today.dashboard",
    "GLOBAL_CALLBACK": "bookings.frame.sidebar.on_every_page",
    "SIDEBAR": {"navigation": "bookings.frame.sidebar.navigation", "show_search": True, "command_search": True},
}
