# One image for every process of Slotline; docker-compose.yml says which command makes it which.
FROM python:3.12-slim AS packages
# requirements-otel.lock where traces are wanted.
ARG REQUIREMENTS=requirements.lock
COPY $REQUIREMENTS /requirements.lock
COPY requirements-cron.lock /
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /requirements.lock \
    && python -m venv /cron && /cron/bin/pip install --no-cache-dir --require-hashes -r /requirements-cron.lock

FROM python:3.12-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 WHITENOISE_USE_FINDERS=0
RUN useradd --system --uid 10001 --no-create-home slotline
WORKDIR /app
COPY --from=packages /venv /venv
COPY --from=packages /cron /cron
COPY . .
# Nothing secret is needed to collect static files, so nothing secret can be left in a layer.
RUN pybabel --quiet compile -D django -d config/locale \
    && DEBUG=1 PROMETHEUS_MULTIPROC_DIR=/tmp/metrics python manage.py collectstatic --no-input && rm -r /tmp/metrics \
    && mkdir .local /metrics && chown slotline .local /metrics
USER 10001
EXPOSE 8000
CMD ["python", "-m", "gunicorn", "--config", "config/gunicorn.py", "config.wsgi"]
