"""Generator of reference pages from the code: `python -m docs.generate`, a part of `make docs`."""

from pathlib import Path

from docs.generate import api, artifact_files, cli, errors, recipes, settings

_FOLDER = Path(__file__).parent.parent / "reference"
PAGES = {
    "api.md": api.page,
    "artifact-files.md": artifact_files.page,
    "cli.md": cli.page,
    "errors.md": errors.page,
    "recipes.md": recipes.page,
    "settings.md": settings.page,
}


def main() -> None:
    """Write every generated page."""
    for name, page in PAGES.items():
        (_FOLDER / name).write_text(page())
    schemas = _FOLDER / "schemas"
    schemas.mkdir(exist_ok=True)
    for name, schema in artifact_files.schemas().items():
        (schemas / name).write_text(schema)


if __name__ == "__main__":
    main()
