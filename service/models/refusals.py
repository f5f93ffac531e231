"""HTTP problems for models that cannot be used. Their types are the failure codes that a worker would report."""

from typing import Final

from service.contract.failures import FailureCode, shortened
from service.errors import Problem, Unavailable


class ModelRefused(Problem):
    """Base of model errors; `field` is the field of the job's `model` to change."""

    status, title = 422, "The model cannot be used"

    def __init__(self, detail: str, field: str = "id") -> None:
        detail = shortened(detail)
        super().__init__(detail, errors=[{"pointer": f"/model/{field}", "detail": detail}])


class ModelNotFound(ModelRefused):
    """Model, revision or artifact that does not exist."""

    type = FailureCode.MODEL_NOT_FOUND


class ModelAccessDenied(ModelRefused):
    """Hub model that the token may not read, or an unknown token."""

    type = FailureCode.MODEL_ACCESS_DENIED


class ModelUnsafe(ModelRefused):
    """Model that needs custom code, or has invalid or unsupported files."""

    type = FailureCode.MODEL_UNSAFE


class ModelUnsupported(ModelRefused):
    """Architecture that the engine cannot prune."""

    type = FailureCode.ARCHITECTURE_UNSUPPORTED


class ModelNotAllowed(ModelRefused):
    """Hub model outside the operator's allowlist."""

    type = "model-not-allowed"


class HubUnavailable(Unavailable):
    """Hub that is unreachable or timed out; jobs are accepted nevertheless."""

    type, title = FailureCode.HUB_UNAVAILABLE, "Model hub unavailable"


BY_CODE: Final[dict[FailureCode, type[ModelRefused]]] = {
    FailureCode.MODEL_NOT_FOUND: ModelNotFound,
    FailureCode.MODEL_ACCESS_DENIED: ModelAccessDenied,
    FailureCode.MODEL_UNSAFE: ModelUnsafe,
    FailureCode.ARCHITECTURE_UNSUPPORTED: ModelUnsupported,
}
