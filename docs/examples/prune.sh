#!/usr/bin/env bash
# Have a model pruned, wait for it, and download the result, checked against its SHA-256.
#
#   DSNOT_URL=https://dsnot.example.com DSNOT_API_KEY=dsnot_… RUN_ID=nightly-4711 prune.sh job.json pruned
#
# job.json is the body of POST /v1/jobs. RUN_ID is the pipeline's own name for this run: started again with it within 24 hours, the
# script goes on with the job it has asked for instead of asking for another one.
# Exit status: 0 the folder holds the pruned model; else it does not, and standard error says why.
# Needs bash, jq, sha256sum, and curl 7.83 or newer, which sends the key to no host but the service's own.
set -euo pipefail

body=${1:?name the file with the body of the job} folder=${2:?name the folder for the result}
: "${DSNOT_URL:?}" "${DSNOT_API_KEY:?}" "${RUN_ID:?}"

# The key goes in by a file descriptor: arguments can be read by everybody on the host.
call() {
  curl --silent --show-error --fail-with-body --retry 8 --retry-connrefused --max-time 600 \
    --header @<(printf 'Authorization: Bearer %s\n' "$DSNOT_API_KEY") "$@"
}

job=$(call --json "@$body" --header "Idempotency-Key: $RUN_ID" "$DSNOT_URL/v1/jobs") || { echo "refused: $job" >&2; exit 1; }
id=$(jq --raw-output .id <<< "$job")
echo "job $id" >&2

until jq --exit-status '.state | IN("succeeded", "failed", "cancelled", "expired")' <<< "$job" > /dev/null; do
  sleep 1 # the service waits; it answers at once only when too many are waiting
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
