"""Client of the Hugging Face Hub for the service: short timeouts, and a circuit breaker per tenant after a failure."""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, TypeVar

from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from service.errors import Later
from service.logging import get_logger
from service.models.hub.listing import repository_info
from service.models.hub.refusals import refusal_of
from service.models.hub.tokens import UnknownToken, hub_token
from service.models.refusals import BY_CODE, HubUnavailable, ModelAccessDenied, ModelNotAllowed
from service.settings import Settings
from service.tenants.shares import Pool

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

log = get_logger(__name__)
Answer = TypeVar("Answer")

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REST_SECONDS: Final = 30.0
"""Pause after a failed request, during which the hub is not called."""
_THREADS: Final = 32
_TOTAL_SECONDS: Final = 60.0
"""Time limit of all requests for the files of one model."""


class Hub:
    """Hub client with its own thread pool, so that a hanging connection never exceeds a request's timeout."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hub")
        self._slots = Pool("requests to the hub", _THREADS)
        self._away_until: dict[str, float] = {}  # by tenant: one's models may fail while the hub answers others

    def close(self) -> None:
        """Shut down the thread pool without waiting."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_allowed(self, model_id: str) -> None:
        """Check the model id against the operator's allowlist. Raises ModelNotAllowed."""
        allowed = self._settings.hub_allow
        if allowed and not any(fnmatchcase(model_id, pattern) for pattern in allowed):
            raise ModelNotAllowed(f"hub models are limited to {', '.join(allowed)}")

    def repository(self, model: ModelSpec, tenant: str, seconds: float) -> "Repository":
        """Return the model's repository at one commit.

        Raises:
            ModelRefused: the model does not exist or may not be read; `model.token` is unknown.
            HubUnavailable: the request timed out, or the hub is not called now.
        """
        self.check_allowed(model.id)
        try:
            token = hub_token(self._settings, tenant, model.token)
        except UnknownToken as error:
            raise ModelAccessDenied(str(error), "token") from None
        info = self._ask(model, tenant, seconds, lambda: repository_info(model, token, seconds))
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        return Repository(
            self, model, tenant, token, str(info.sha), sizes, _license(info), seconds, time.monotonic() + _TOTAL_SECONDS
        )

    def range(self, repository: "Repository", name: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` of a file. Raises as `repository`."""
        return self._ask(repository.model, repository.tenant, repository.seconds, lambda: _range(repository, name, start, end))

    def _ask(self, model: ModelSpec, tenant: str, seconds: float, question: Callable[[], Answer]) -> Answer:
        if not self._settings.hub_from_service:
            raise HubUnavailable("this service does not contact the hub; only its workers do")
        if time.monotonic() < self._away_until.get(tenant, 0.0):
            raise HubUnavailable("the model hub did not answer recently; try again shortly", retry_after=int(_REST_SECONDS))
        try:
            self._slots.acquire(tenant, seconds=seconds)
        except Later as busy:
            raise HubUnavailable(busy.detail, retry_after=busy.retry_after) from None
        asked: Future[Answer] = self._threads.submit(self._asked, tenant, question)
        try:
            return asked.result(seconds)
        except FutureTimeout:
            raise self._away(model, tenant, "no answer in time") from None
        except Exception as error:  # of the client, of its HTTP library, or OSError
            refusal = refusal_of(error, model.id, model.revision)
            if refusal.code is FailureCode.HUB_UNAVAILABLE:
                raise self._away(model, tenant, type(error).__name__) from None
            raise BY_CODE[refusal.code](refusal.detail, refusal.field) from None

    def _asked(self, tenant: str, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        finally:
            self._slots.release(tenant)

    def _away(self, model: ModelSpec, tenant: str, reason: str) -> HubUnavailable:
        self._away_until[tenant] = time.monotonic() + _REST_SECONDS
        log.warning("hub_unavailable", model=model.id, reason=reason)
        return HubUnavailable("the model hub cannot be reached now; try again shortly", retry_after=int(_REST_SECONDS))


@dataclass(frozen=True)
class Repository:
    """A hub model at one commit, with range reads of its files."""

    hub: Hub
    model: ModelSpec
    tenant: str
    token: str | None
    commit: str
    sizes: Mapping[str, int]
    license: str | None
    seconds: float
    deadline: float
    """Time of the monotonic clock after which nothing more is read."""

    def __repr__(self) -> str:
        return f"Repository({self.model.id}@{self.commit})"  # no token in any log

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` of a file. Raises as `Hub.repository`."""
        if time.monotonic() > self.deadline:
            raise HubUnavailable(f"the model's headers could not be read within {_TOTAL_SECONDS:.0f} s; try again later")
        return self.hub.range(self, name, start, end)


def _range(repository: Repository, name: str, start: int, end: int) -> bytes:
    """Read a byte range; stop at `end` even if the server sends the whole file."""
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(repository.model.id, name, revision=repository.commit)
    headers = build_hf_headers(token=repository.token) | {"Range": f"bytes={start}-{end - 1}"}
    content = bytearray()
    with get_session().stream("GET", url, headers=headers, timeout=repository.seconds) as response:
        hf_raise_for_status(response)
        skip = 0 if response.status_code == 206 else start
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) >= skip + end - start:
                break
    return bytes(content[skip : skip + end - start])


def _license(info: "ModelInfo") -> str | None:
    card: Any = info.card_data
    value = card.get("license") if card is not None else None
    return value if isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable() else None
