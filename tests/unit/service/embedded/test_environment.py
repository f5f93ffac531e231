"""Environment of the stack's processes."""

from pathlib import Path

import pytest

from service.embedded.stack import Stack, _listener


@pytest.mark.parametrize("given", ["", "https://host/dsnot"])
def test_messages_link_to_the_stack_unless_an_address_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("DSNOT_PUBLIC_URL", given)
    with _listener(None) as listener:
        stack = Stack(tmp_path, listener, [])
        found = stack._environment("postgresql://", "redis://")["DSNOT_PUBLIC_URL"]
    assert found == (given or stack.url)
