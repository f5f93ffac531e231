"""The README's list of files is the files' own first lines. `python -m tests.unit.test_readme` writes it anew."""

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
_README = _ROOT / "README.md"
_FOLDERS = ("service", "worker", "migrations", "benchmarks")
_LIST = re.compile(r"(<!-- files: .*? -->\n).*?(<!-- end of files -->)", re.DOTALL)


def _first_line(path: Path) -> str:
    documentation = ast.get_docstring(ast.parse(path.read_text()))
    assert documentation, f"{path} does not say what it is"
    return documentation.partition("\n")[0]


def _list_of_files() -> str:
    lines = []
    for folder in _FOLDERS:
        lines += ["", f"**{folder}/**", ""]
        for path in sorted((_ROOT / folder).rglob("*.py")):
            if path.name != "__init__.py" or path.read_text().strip():
                lines.append(f"- `{path.relative_to(_ROOT)}` {_first_line(path)}")
    return "\n".join([*lines[1:], "", ""])


def _written_anew(readme: str) -> str:
    return _LIST.sub(lambda found: f"{found[1]}{_list_of_files()}{found[2]}", readme)


def test_the_readme_lists_every_file_with_its_own_first_line() -> None:
    readme = _README.read_text()
    assert readme == _written_anew(readme), "run: python -m tests.unit.test_readme"


if __name__ == "__main__":
    _README.write_text(_written_anew(_README.read_text()))
