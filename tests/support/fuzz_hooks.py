"""What schemathesis loads beside the OpenAPI document: ids of things that exist, and the rules that no schema can say.

It runs in schemathesis's own process, told by environment variables where things are.
"""

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import ensure_resource_availability, negative_data_rejection, positive_data_acceptance

_OBJECTS: Final[list[dict[str, str]]] = json.loads(Path(os.environ["FUZZ_OBJECTS"]).read_text())
"""Ids by the names of the parameters of paths; those of one entry belong together."""
_SEEN: Final = Path(os.environ["FUZZ_SEEN"])
_HUB: Final = "meta-llama/Llama-3.1-8B"
_MODEL: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95}){0,3}"
_BESIDE: Final = {"revision": r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", "token": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"}
"""What a model's id may be accompanied by, where it is well formed: it would not fit another id."""
_USUAL: Final = {
    "DELETE /v1/jobs": "succeeded",
    "DELETE /v1/sweeps": "succeeded",
    "/artifacts": "succeeded",
    "/cancel": "running",
    "/pause": "queued",
    "/resume": "paused",
    "/retry": "failed",
}
"""The state of a job or sweep of which an operation can be asked."""
_UNKNOWN_HEADER: Final = "x-schemathesis-unknown-property"
_ARTIFACTS: Final = ("/artifacts", "/artifacts/{path}")
_KEY_ID: Final = re.compile(r"[a-z0-9]{12}")
_OWN_KEYS: Final = os.environ["FUZZ_OWN_KEYS"].split()
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

RULES: Final[tuple[tuple[str, str, str, str], ...]] = (
    # operation, pointer, detail, and why a schema cannot say it
    (r"GET ", r"cursor", r"is not a cursor of this list", "a cursor is opaque: only those that were given out are good"),
    (
        r"",
        r"",
        r"must not (hold|contain) (NUL characters|lone surrogates)",
        "free objects and texts: no schema speaks of all names in them",
    ),
    (
        r"",
        r".*id",
        r"no model|no local model|no folder|is no job|no artifact|must be (a plain name|the id)",
        "which models exist is not fixed",
    ),
    (r"", r".*token", r"no hub token|hub models only", "tokens are the operator's files"),
    (r"", r".*revision", r"hub models only|filled in|branch, tag|no revision", "what it may be depends on the source"),
    (
        r"POST /v1/(jobs|triggers)",
        r".*/pattern/[nm]",
        r"must be smaller than m|groups of",
        "n < m, and m divides the model's widths",
    ),
    (r"POST /v1/(jobs|triggers)", r".*/sequence_length", r"at most \d+", "the model's longest text is the model's"),
    (
        r"POST /v1/(jobs|triggers)",
        r".*/recipe/(allocation|objective|criterion|update/mask|refinement/.*)",
        r".",
        "choices exclude each other",
    ),
    (
        r"POST /v1/(jobs|triggers)",
        r".*/(calibration|evaluation)/.*",
        r"overlaps with the calibration data|no data set|no upload",
        "texts must not overlap; uploads come and go",
    ),
    (
        r"POST /v1/(jobs|triggers)",
        r".*/evaluation/(require/.*|baseline|agreement_windows)",
        r".",
        "a gate is about what the job measures, and has one bound that its metric knows",
    ),
    (r"POST /v1/jobs", r"/output/formats", r"a mask contains only", "a mask needs kept weights that stay as they are"),
    (r"POST /v1/jobs", r"/output/hub/repo", r"must not end in \.git", "what a name does not end in is no plain pattern"),
    (
        r"POST /v1/jobs",
        r"/output/mlflow/alias",
        r"registered model|reserved by MLflow",
        "an alias is of a model, and not of all names",
    ),
    (r"POST ", r"Idempotency-Key", r"was used for another request", "whether a key is new is not in it"),
    (r"POST /v1/sweeps", r"/(template|axes|over|target|try_first).*", r".", "a job's body once its axes are filled in"),
    (r"POST /v1/sweeps", r"|/keep", r"give either axes|best needs a target", "axes and a search exclude each other"),
    (r"GET /v1/sweeps/", r"front", r".", "what a sweep has measured is not fixed"),
    (r"POST /v1/datasets", r"", r"line \d+|document", "JSON Lines are a form of their own"),
    (r"GET /v1/jobs/compare", r"ids", r"twice", "two spellings of one id are two texts to a schema"),
    (r"POST /v1/keys", r"/expires_at", r"must be in the future", "now is no constant"),
    (r"(POST|PATCH) /v1/webhooks", r"/url", r".", "which hosts are of the internet, and what an address is, is no pattern"),
    (r"(POST|PATCH) /v1/triggers", r"/(template|filter).*", r".", "a language of its own, and a job once it is filled in"),
    (r"POST /v1/triggers/{trigger_id}/fire", r"", r".", "an event is read as what it says it is, and then fills in a template"),
)
"""The 422 that a request may be answered with although it is valid by the document."""


schemathesis.serializer.alias(["application/jsonl", "application/x-ndjson"], "text/plain")


@schemathesis.check
def valid_data_acceptance(ctx: Any, response: Any, case: Any) -> None:
    """As `positive_data_acceptance`, but what is refused by one of RULES alone is well refused."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if response.status_code != 422 or not all(_is_known(case, error) for error in _errors(response)):
            raise


@schemathesis.check
def invalid_data_rejection(ctx: Any, response: Any, case: Any) -> None:
    """As `negative_data_rejection`, but a header that nobody has declared spoils nothing: proxies add them as they like."""
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        if _UNKNOWN_HEADER not in {name.lower() for name in case.headers or {}}:
            raise


@schemathesis.check
def created_is_there(ctx: Any, response: Any, case: Any) -> None:
    """As `ensure_resource_availability`, but a job that has just been asked for has no artifact yet."""
    if not case.operation.path.endswith(_ARTIFACTS):
        ensure_resource_availability(ctx, response, case)


def _errors(response: Any) -> list[dict[str, str]]:
    found: list[dict[str, str]] = response.json().get("errors") or [{"pointer": "", "detail": ""}]
    return found


def _is_known(case: Any, error: dict[str, str]) -> bool:
    if error["detail"] == "must be a whole number":
        return isinstance(_value_at(case.body, error["pointer"]), float)  # 3.0 is an integer to JSON Schema, and none here
    return any(
        re.match(where, case.operation.label)
        and re.fullmatch(pointer or ".*", error["pointer"], re.DOTALL)
        and re.search(detail, error["detail"])
        for where, pointer, detail, _ in RULES
    )


def _value_at(value: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        value = value.get(name) if isinstance(value, dict) else value[int(name)] if isinstance(value, list) else None
    return value


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Ids of things that are there, for most that are drawn well; an id that is drawn badly stays bad.

    What is deleted is never what others are asked of.
    """
    given = path_parameters or {}
    if not given or not all(_is_an_id(name, value) for name, value in given.items()):
        return path_parameters
    draw = zlib.crc32(json.dumps(given, sort_keys=True).encode())
    if draw % 8 == 0:
        return path_parameters
    label = context.operation.label
    state = next((state for part, state in _USUAL.items() if part in label), "")
    fit = [each for each in _OBJECTS if each["may_go"] == str(label.startswith("DELETE")) and state in each["state"]]
    there = fit[draw // 8 % len(fit)]
    return {name: there[name] for name in given}


def _is_an_id(name: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if name in ("path", "dataset_id"):
        return True
    return (_KEY_ID if name == "key_id" else _UUID).fullmatch(value) is not None


@schemathesis.hook
def map_headers(context: Any, headers: dict[str, Any] | None) -> dict[str, Any] | None:
    """Mostly a tag that every version has."""
    return {name: "*" if name == "If-Match" and _may_be_any(value, ".*") else value for name, value in (headers or {}).items()}


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Hardly ever a cursor that nobody has given out, and mostly a model that is there."""
    if not query:
        return query
    mapped = dict(query)
    if _may_be_any(mapped.get("cursor"), r".{0,256}"):
        del mapped["cursor"]
    if context.operation.label == "GET /v1/jobs/compare":
        mapped = _with_jobs(mapped)
    if context.operation.label == "GET /v1/models/inspect":
        mapped = _with_model(mapped)
    return mapped


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """A model, a template and a filter that work, mostly, wherever those that were drawn are well formed."""
    if not isinstance(body, dict):
        return body
    mapped: dict[str, Any] = _with_whole_numbers(body)
    if context.operation.label == "POST /v1/jobs" and isinstance(body.get("model"), dict):
        mapped["model"] = _with_model(mapped["model"])
        mapped |= _with_known_token(mapped)
    if "/v1/triggers" in context.operation.label:
        if isinstance(body.get("template"), dict):
            mapped["template"] = {"model": {"id": _HUB}}
        if mapped.get("starts") == "sweep" and "template" in mapped:
            mapped["template"] = {"template": mapped["template"], "axes": {"/recipe/preset": ["fast"]}}
        if _may_be_any(body.get("filter"), r".{1,1000}"):
            mapped["filter"] = "!contains(keys(@), 'nothing')"
    return mapped


def _with_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """Jobs that are there, in the place of well-formed ids."""
    ids = query.get("ids")
    if not isinstance(ids, list) or not all(_is_an_id("job_id", each) for each in ids) or len(ids) > len(_OBJECTS):
        return query
    known = {each: there["job_id"] for each, there in zip(dict.fromkeys(ids), _OBJECTS, strict=False)}
    return query | {"ids": [known[each] for each in ids]}


def _with_model(model: dict[str, Any]) -> dict[str, Any]:
    known = {"hub": _HUB, "local": "tiny"}.get(str(model.get("source", "hub")))
    if known is None or not _may_be_any(model.get("id"), _MODEL):
        return model
    kept = {name: value for name, value in model.items() if not re.fullmatch(_BESIDE.get(name, "(?!)"), str(value))}
    return kept | {"id": known}


def _with_known_token(body: dict[str, Any]) -> dict[str, Any]:
    """An upload to the hub with a token that is there."""
    output = body.get("output")
    hub = output.get("hub") if isinstance(output, dict) else None
    if not isinstance(output, dict) or not isinstance(hub, dict) or not _may_be_any(hub.get("token"), _BESIDE["token"]):
        return {}
    return {"output": output | {"hub": hub | {"token": "research"}}}


def _with_whole_numbers(value: Any) -> Any:
    """3 for 3.0, which is the same to JSON Schema and refused here; some are left as they are."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() and value % 4 else value


def _may_be_any(value: Any, form: str) -> bool:
    """Whether it is as the document has it, so that another of the kind may stand in its place; one in four is let through."""
    if not isinstance(value, str) or not re.fullmatch(form, value, re.DOTALL):
        return False
    return zlib.crc32(value.encode(errors="replace")) % 4 > 0


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Nobody takes from under us the key that every request is sent with."""
    if case.path_parameters and case.path_parameters.get("key_id") in _OWN_KEYS:
        case.path_parameters["key_id"] = "0" * 12


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Note which operations were answered how."""
    with _SEEN.open("a") as seen:
        seen.write(f"{response.status_code} {case.operation.label}\n")
