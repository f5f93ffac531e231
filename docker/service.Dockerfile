# HTTP service, dispatcher and migrations, without torch.
#   docker build --file docker/service.Dockerfile --tag dsnot-service .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY docker/build.lock docker/service.lock ./
# libraries first, in a layer that changes less often than the code
RUN python3 -m venv /opt/dsnot \
  && /opt/dsnot/bin/pip install --no-cache-dir --require-hashes --requirement build.lock \
  && /opt/dsnot/bin/pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation --requirement service.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY service service
RUN /opt/dsnot/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
RUN groupadd --gid 10001 dsnot && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp dsnot
COPY --from=build /opt/dsnot /opt/dsnot
ENV PATH=/opt/dsnot/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DSNOT_ALIVE_FILE=/tmp/dsnot-alive
WORKDIR /tmp
USER 10001:10001
EXPOSE 8321
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8321/livez', timeout=4)"]
CMD ["python", "-m", "service", "--host", "0.0.0.0", "--port", "8321"]
