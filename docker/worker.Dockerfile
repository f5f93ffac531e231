# Worker. TORCH selects the build of PyTorch; that of the package index includes CUDA:
#   docker build --file docker/worker.Dockerfile --tag dsnot-worker .
# For CPUs only, pass the CPU build and the URL of PyTorch's package index (EXTRA_INDEX):
#   docker build … --build-arg TORCH=torch==2.13.0+cpu --build-arg EXTRA_INDEX=…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH=torch==2.13.0
ARG EXTRA_INDEX=
WORKDIR /src
RUN python3 -m venv /opt/dsnot \
  && /opt/dsnot/bin/pip install --no-cache-dir ${EXTRA_INDEX:+--extra-index-url "${EXTRA_INDEX}"} "${TORCH}"
COPY pyproject.toml requirements.lock README.md LICENSE ./
# libraries first, in a layer that changes less often than the code; exllamav3 is read as data (sample texts) and never imported
RUN /opt/dsnot/bin/pip install --no-cache-dir --constraint requirements.lock '.[worker,otel]' \
  && /opt/dsnot/bin/pip install --no-cache-dir --constraint requirements.lock --no-deps exllamav3
COPY migrations migrations
COPY service service
COPY worker worker
RUN /opt/dsnot/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM ${BASE}
RUN groupadd --gid 10001 dsnot && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp dsnot \
  && install --directory --owner=10001 --group=10001 /cache /models
COPY --from=build /opt/dsnot /opt/dsnot
ENV PATH=/opt/dsnot/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
  DSNOT_ALIVE_FILE=/tmp/dsnot-alive DSNOT_CACHE_DIR=/cache HF_HOME=/cache/huggingface DSNOT_MODEL_ROOT=/models
WORKDIR /tmp
USER 10001:10001
VOLUME ["/cache"]
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["python", "-m", "service.ops.liveness"]
CMD ["python", "-m", "worker"]
