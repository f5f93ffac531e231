"""Models that cannot be used, as callers are told. The types are the failure codes that a worker would report."""

from typing import Final

from service.contract import FailureCode
from service.errors import Problem, Unavailable


class ModelRefused(Problem):
    """`field` is the part of the job's `model` that has to change."""

    status, title = 422, "The model cannot be used"

    def __init__(self, detail: str, field: str = "id") -> None:
        super().__init__(detail, errors=[{"pointer": f"/model/{field}", "detail": detail}])


class ModelNotFound(ModelRefused):
    type = FailureCode.MODEL_NOT_FOUND


class ModelAccessDenied(ModelRefused):
    type = FailureCode.MODEL_ACCESS_DENIED


class ModelUnsafe(ModelRefused):
    type = FailureCode.MODEL_UNSAFE


class ModelUnsupported(ModelRefused):
    type = FailureCode.ARCHITECTURE_UNSUPPORTED


class ModelNotAllowed(ModelRefused):
    type = "model-not-allowed"


class HubUnavailable(Unavailable):
    """The hub, or the way to it, is down; jobs are accepted all the same."""

    type, title = "hub-unavailable", "The model hub does not answer"


BY_CODE: Final[dict[FailureCode, type[ModelRefused]]] = {
    FailureCode.MODEL_NOT_FOUND: ModelNotFound,
    FailureCode.MODEL_ACCESS_DENIED: ModelAccessDenied,
    FailureCode.MODEL_UNSAFE: ModelUnsafe,
}
