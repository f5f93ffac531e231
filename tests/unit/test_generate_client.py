"""The blocking client in the repository is the one generated from the asyncio client."""

from pathlib import Path

from generate_client import TARGET, generate


def modules(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("[!_]*.py")}


def test_the_blocking_client_is_generated_from_the_asyncio_client(tmp_path: Path) -> None:
    generate(tmp_path)
    assert modules(tmp_path) == modules(TARGET), "run `make client`"
    assert len(modules(TARGET)) == 12
