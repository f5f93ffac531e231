"""Outlines of hub models that this process has read for an inspection or a plan: a creation then needs no requests for them."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from service.contract.model_spec import ModelSpec
from service.models.outline import ModelOutline

_MOST: Final = 256


class KnownOutlines:
    """Cache of outlines by tenant, id and commit, least recently used out first. Thread-safe.

    By tenant, because a tenant must not learn of gated models of others.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, str, str], ModelOutline] = OrderedDict()
        self._lock = Lock()

    def keep(self, model: ModelSpec, outline: ModelOutline, *, tenant: str) -> None:
        """Keep the outline of a hub model at a commit; that of another source is read in no time and not kept."""
        if model.source != "hub" or model.revision is None:
            return
        with self._lock:
            self._found[tenant, model.id, model.revision] = outline
            self._found.move_to_end((tenant, model.id, model.revision))
            while len(self._found) > _MOST:
                self._found.popitem(last=False)

    def of(self, model: ModelSpec, *, tenant: str) -> ModelOutline | None:
        """Return the outline of a model at a commit, if it is known."""
        key = (tenant, model.id, model.revision or "")
        with self._lock:
            found = self._found.get(key) if model.source == "hub" else None
            if found is not None:
                self._found.move_to_end(key)
            return found
