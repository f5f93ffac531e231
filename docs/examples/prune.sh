#!/usr/bin/env bash
# Prune a model, wait for the job, and download the result, verified by SHA-256.
#
#   DSNOT_URL=https://dsnot.example.com DSNOT_API_KEY=dsnot_… RUN_ID=nightly-4711 prune.sh job.json pruned
#
# job.json is the body of POST /v1/jobs. RUN_ID identifies the pipeline run and is the idempotency key: restarted with it within
# 24 hours, the script continues with the same job instead of creating another.
# Exit status: 0 if the folder contains the pruned model; otherwise standard error says why not.
# Needs bash, jq, sha256sum, and curl 7.83 or newer, which does not send the key to other hosts on redirects.
set -euo pipefail

body=${1:?pass the file with the body of the job} folder=${2:?pass the folder for the result}
: "${DSNOT_URL:?}" "${DSNOT_API_KEY:?}" "${RUN_ID:?}"

# The key is passed by file descriptor, because every user of the host can read arguments.
call() {
  curl --silent --show-error --fail-with-body --retry 8 --retry-connrefused --max-time 600 \
    --header @<(printf 'Authorization: Bearer %s\n' "$DSNOT_API_KEY") "$@"
}

job=$(call --json "@$body" --header "Idempotency-Key: $RUN_ID" "$DSNOT_URL/v1/jobs") || { echo "refused: $job" >&2; exit 1; }
id=$(jq --raw-output .id <<< "$job")
echo "job $id" >&2

until jq --exit-status '.state | IN("succeeded", "failed", "cancelled", "expired")' <<< "$job" > /dev/null; do
  sleep 1 # the request itself waits up to 60 s; the service answers at once only when too many requests are waiting
  job=$(call --header 'Prefer: wait=60' "$DSNOT_URL/v1/jobs/$id")
done
if ! jq --exit-status '.state == "succeeded"' <<< "$job" > /dev/null; then
  jq --raw-output '"job \(.id) has \(.state): \(.error.detail // "no reason is given")"' <<< "$job" >&2
  exit 1
fi

mkdir -p "$folder"
manifest=$(call "$DSNOT_URL/v1/jobs/$id/artifacts")
jq --raw-output '.files[].path | if test("^/|(^|/)\\.\\.(/|$)") then error("\(.) leads out of the folder") else . end' <<< "$manifest" |
  while IFS= read -r path; do
    address=$(jq --raw-output --null-input --arg path "$path" '$path | split("/") | map(@uri) | join("/")')
    call --location --create-dirs --output "$folder/$path" "$DSNOT_URL/v1/jobs/$id/artifacts/$address"
  done
jq --raw-output '.files[] | "\(.sha256)  \(.path)"' <<< "$manifest" | (cd "$folder" && sha256sum --check --strict --quiet)
jq --compact-output '{id, metrics: .metrics.pruned}' <<< "$job"
