#!/usr/bin/env bash
# Build both images with buildah, without a container engine, and check user, permissions and imports.
#   docker/try_images.sh BASE [PIP_CONF]
# BASE is an image with Python 3.11 and venv (python:3.11-slim-bookworm, or one made with debootstrap);
# PIP_CONF is a pip.conf for the builds; add folders that it names to MOUNTS. TORCH as in docker/worker.Dockerfile.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$1
options=(--isolation chroot --format docker --build-arg "BASE=$base")
[ -z "${2:-}" ] || options+=(--volume "$2:/etc/pip.conf:ro")
for folder in ${MOUNTS:-}; do options+=(--volume "$folder:$folder:ro"); done

for name in service worker; do
  buildah bud "${options[@]}" --build-arg "TORCH=${TORCH:-}" --file "docker/$name.Dockerfile" --tag "dsnot-$name:try" .
  container=$(buildah from "dsnot-$name:try")
  inside() { buildah run --isolation chroot "$container" -- "$@"; }
  [ "$(inside id -u)" = 10001 ] || { echo "dsnot-$name runs as root" >&2; exit 1; }
  ! inside touch /opt/dsnot/probe 2>/dev/null || { echo "dsnot-$name can change its own programs" >&2; exit 1; }
  inside dsnot --help >/dev/null
  if [ "$name" = service ]; then
    inside python -c 'import kombu.transport.redis, service.main, service.dispatcher.loop'
    ! inside python -c 'import torch' 2>/dev/null || { echo "dsnot-service holds torch" >&2; exit 1; }
  else
    inside python -c 'import kombu.transport.redis, worker.app, worker.attempt.runner, worker.tasks'
  fi
  buildah rm "$container" >/dev/null
done
buildah images --filter reference=dsnot-service --filter reference=dsnot-worker
