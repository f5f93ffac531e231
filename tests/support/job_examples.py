"""Jobs as the client returns them, and specs with every default filled in."""

from typing import Any

from service.client import Job
from service.contract.spec import JobSpec


def made_job(**values: Any) -> Job:
    spec = JobSpec.model_validate({"model": {"id": "org/model"}, "recipe": values.pop("recipe", {})}).model_dump(mode="json")
    return Job.model_validate({"id": "1", "state": "queued", "spec": spec, "created_at": "2026-01-31T12:00:00Z"} | values)


MODEL = {"model": {"id": "org/model"}}


def filled(**body: Any) -> dict[str, Any]:
    return JobSpec.model_validate(MODEL | body).model_dump(mode="json")
