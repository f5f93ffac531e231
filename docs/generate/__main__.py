"""Generator of reference pages from the code: `python -m docs.generate`, a part of `make docs`."""

from pathlib import Path

from docs.generate import api, cli, errors, recipes, settings

_FOLDER = Path(__file__).parent.parent / "reference"
PAGES = {
    "api.md": api.page,
    "cli.md": cli.page,
    "errors.md": errors.page,
    "recipes.md": recipes.page,
    "settings.md": settings.page,
}


def main() -> None:
    """Write every generated page."""
    for name, page in PAGES.items():
        (_FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
