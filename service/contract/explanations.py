"""Usual cause and remedy of every problem type and failure code, shown at `/errors` and in the documentation."""

from typing import Final, NamedTuple

from service.contract.failures import GPU_LOST, FailureCode


class Explanation(NamedTuple):
    """Usual cause and remedy of an error; backticks mark code."""

    cause: str
    remedy: str


_OF_REQUESTS: Final[dict[str, Explanation]] = {
    "bad-request": Explanation(
        "The request is not well-formed HTTP for this route, for example a malformed header.",
        "Correct what the detail names; `/docs` describes the route.",
    ),
    "malformed-body": Explanation(
        "The body is not JSON: it is cut off, is not UTF-8, names a key twice or is nested too deeply.",
        "Send one JSON document as the body.",
    ),
    "unauthenticated": Explanation(
        "The API key is missing, wrong, expired or revoked, or the session of the dashboard has ended.",
        "Send `Authorization: Bearer dsnot_…` with a valid key; in the browser, sign in again.",
    ),
    "forbidden": Explanation(
        "The API key is valid but lacks the scope that the route requires.",
        "Use a key with the scope that the detail names; `GET /v1/keys` lists the scopes of each key.",
    ),
    "cross-site-request": Explanation(
        "A browser sent the request from a page of another site or with an outdated CSRF token, or a proxy changed `Host`.",
        "Load the dashboard's page again and repeat; behind a proxy, pass on the header `Host`.",
    ),
    "not-found": Explanation(
        "The id or path is wrong, the object was deleted, or it belongs to another tenant.",
        "Check the id in the list of the objects, and that the key is one of the right tenant.",
    ),
    "method-not-allowed": Explanation(
        "The path exists, but does not support the method.",
        "Use a method of the header `Allow`.",
    ),
    "request-timeout": Explanation(
        "The body arrived too slowly, usually over a poor connection.",
        "Send the request again; upload large data sets from a faster network.",
    ),
    "conflict": Explanation(
        "The state of the object does not allow the operation, for example cancelling a finished job.",
        "Read the object again and decide by its present state.",
    ),
    "idempotency-in-flight": Explanation(
        "A request with the same `Idempotency-Key` is still being processed.",
        "Repeat the request after `Retry-After` seconds; it then gets the answer of the first one.",
    ),
    "idempotency-key-reused": Explanation(
        "The `Idempotency-Key` was used before for a different request.",
        "Use a new key for each new request, and the same key only to repeat the same body.",
    ),
    "dataset-quota-exceeded": Explanation(
        "The data sets of the tenant would exceed its storage quota.",
        "Delete data sets that are no longer needed, or request a larger quota from the operator.",
    ),
    "precondition-failed": Explanation(
        "The job has changed since the version named in `If-Match`.",
        "Read the job again and repeat the request with its new `ETag`.",
    ),
    "body-too-large": Explanation(
        "The body exceeds the size limit: by default 64 KiB of JSON, 64 MiB of a data set.",
        "Send less, or split the data set; the operator sets `DSNOT_MAX_BODY_BYTES` and `DSNOT_MAX_DATASET_BYTES`.",
    ),
    "unsupported-media-type": Explanation(
        "The header `Content-Type` or `Content-Encoding` names a format that the route does not accept.",
        "Set `Content-Type` to one that the detail names, usually `application/json`, and send the body uncompressed.",
    ),
    "range-not-satisfiable": Explanation(
        "The header `Range` begins behind the end of the file.",
        "Request a range within the file; `Content-Range` of the answer states its size.",
    ),
    "invalid-input": Explanation(
        "A field of the body or a parameter is missing, unknown, of the wrong type or outside its bounds.",
        "Correct what `errors` lists: each entry has a JSON pointer into the body, or a parameter's name, and a reason.",
    ),
    "model-does-not-fit": Explanation(
        "No worker online has enough memory for one block of the model with the job's calibration.",
        "Use a smaller model, fewer or shorter samples, or a worker with more memory; the plan states what a job needs.",
    ),
    "model-not-allowed": Explanation(
        "The operator restricts models of the hub to a list (`DSNOT_HUB_ALLOW`).",
        "Use a model of the list, or request that the operator adds this one.",
    ),
    "quota-exceeded": Explanation(
        "The queue of the tenant is full.",
        "Wait until jobs have finished, cancel queued ones, or request a larger quota; `GET /v1/quota` states use and limit.",
    ),
    "rate-limited": Explanation(
        "The tenant sent more requests in a minute than its limit allows.",
        "Repeat after `Retry-After` seconds; follow jobs by their event stream or `Prefer: wait` instead of polling.",
    ),
    "share-exceeded": Explanation(
        "The tenant already holds its share of the uploads, event streams or model inspections at once.",
        "Close streams that nothing reads, and run fewer of these requests at the same time.",
    ),
    "unavailable": Explanation(
        "Database, artifact store or another dependency does not answer, or the service is at its capacity.",
        "Repeat after `Retry-After` seconds; `GET /readyz` names the dependency, and `dsnot doctor` says what to do.",
    ),
}

_OF_JOBS: Final[dict[str, Explanation]] = {
    FailureCode.MODEL_NOT_FOUND: Explanation(
        "Id or revision is misspelt, the folder is not below the model root, or the job named as source has no artifact.",
        "Check `model.id`, `model.revision` and `model.source`; `dsnot models list` lists the local models.",
    ),
    FailureCode.MODEL_ACCESS_DENIED: Explanation(
        "The model is private or gated, and the token may not read it, or there is none.",
        "Accept the model's terms on the hub, then name a token in `model.token`, or have the operator set `HF_TOKEN`.",
    ),
    FailureCode.MODEL_UNSAFE: Explanation(
        "The checkpoint needs custom code or pickled weights, or its files contradict each other.",
        "Use a safetensors version without custom code, or do what the detail says.",
    ),
    FailureCode.HUB_UNAVAILABLE: Explanation(
        "The model hub did not answer, to the service or to a worker on any attempt.",
        "Repeat later; check the network of the host, its proxy and `HF_ENDPOINT`.",
    ),
    FailureCode.ARCHITECTURE_UNSUPPORTED: Explanation(
        "The model is no causal language model (BERT without `is_decoder`, BART, Whisper), its weights are quantised, "
        "or its class is not covered.",
        "The detail names class and reason; of a quantised checkpoint take the original in bfloat16, float16 or float32, "
        "or convert fp8 and MXFP4 with `dsnot models import --dequantize`.",
    ),
    FailureCode.DATASET_UNAVAILABLE: Explanation(
        "A data set could not be downloaded or read, or was deleted after the job was created.",
        "Check the data set's name and the worker's access to the hub; upload a deleted one again.",
    ),
    FailureCode.TASK_NOT_FOUND: Explanation(
        "The name is misspelt, or the worker's version of lm-evaluation-harness lacks the task.",
        "Use a name that the detail proposes, or leave the task out of `evaluation.tasks`.",
    ),
    FailureCode.TASK_UNSUPPORTED: Explanation(
        "The task runs code, needs another package, or asks the model in a way that is not supported.",
        "Leave the task out of `evaluation.tasks`.",
    ),
    FailureCode.TASK_DATA_UNAVAILABLE: Explanation(
        "The hub did not answer while the worker loaded the task's data, or refused them.",
        "Retry the job; for a worker without network, put the task's data into its cache first.",
    ),
    FailureCode.NOT_ENOUGH_CALIBRATION_DATA: Explanation(
        "The data set has fewer tokens than samples × sequence length.",
        "Request fewer samples or shorter sequences, or use a larger data set.",
    ),
    FailureCode.OUT_OF_DEVICE_MEMORY: Explanation(
        "The largest block, its activations or a task did not fit into the memory of the GPU.",
        "Use shorter sequences, fewer samples or no zero-shot tasks, or a larger GPU; see `memory` of the plan.",
    ),
    FailureCode.OUT_OF_HOST_MEMORY: Explanation(
        "The worker's host has less memory than the job needs, or other processes use it.",
        "Use shorter sequences, fewer samples or no zero-shot tasks, or a larger host; see `memory` of the plan.",
    ),
    FailureCode.DISK_FULL: Explanation(
        "The worker's disk has no room for the model, the activations or the artifact.",
        "Free space, use a larger cache disk, or bound the cache with `DSNOT_MAX_MODEL_CACHE_BYTES`.",
    ),
    FailureCode.NUMERICAL_FAILURE: Explanation(
        "The checkpoint has weights that are not finite, or activations overflow in its precision.",
        "The detail names the layer; check the checkpoint, or use one in bfloat16 or float32.",
    ),
    FailureCode.ARTIFACT_UPLOAD_FAILED: Explanation(
        "The artifact store refused a request or did not answer: credentials, permissions, a full bucket, the network.",
        "Check the store with `dsnot doctor`, then retry the job; it continues behind its last finished block.",
    ),
    FailureCode.DEADLINE_EXCEEDED: Explanation(
        "The run took longer than `run_deadline_seconds`.",
        "Set a later deadline or none, or make the job smaller; the plan estimates its time.",
    ),
    FailureCode.INVALID_REQUEST: Explanation(
        "The settings contradict the model, for example a pattern that fits none of its matrices.",
        "Change the field that the detail names and create the job again.",
    ),
    FailureCode.WORKER_LOST: Explanation(
        "The worker's process died or lost its network on every attempt; often the kernel's out-of-memory killer.",
        "Read the log of the worker and of its host's kernel, then retry the job.",
    ),
    GPU_LOST: Explanation(
        "The GPU of an attempt failed or was removed; such an attempt does not count, and the job runs again.",
        "Nothing for the job; if it recurs on a worker, check its GPU with `nvidia-smi` and the kernel's log.",
    ),
    "internal": Explanation(
        "A bug, in the service for a request or in the worker for a job.",
        "Report it: a request with its `X-Request-ID`, a job with its id and log.",
    ),
}

EXPLANATIONS: Final[dict[str, Explanation]] = {str(code): each for code, each in (_OF_REQUESTS | _OF_JOBS).items()}
"""By problem type and failure code; a code that is both has one entry."""
