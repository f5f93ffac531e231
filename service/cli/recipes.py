"""`dsnot recipes`: the presets, in words, and the choices of a recipe."""

from typing import Any

import typer

from service.cli.output import AsJson, print_json, print_table, printable

_CHOICES = ("criteria", "allocations", "objectives", "refinements", "updates", "formats")


def recipes(as_json: AsJson = False) -> None:
    """Show the presets and when to use each, and the values of --criterion, --refinement and the like."""
    from service.client import Client

    with Client(patience=2) as client:
        found = client.recipes()
    if as_json:
        print_json(found)
        return
    for preset in found["presets"]:
        _print_preset(preset)
    rows = [(name, choice["name"], choice["summary"]) for name in _CHOICES for choice in found.get(name, [])]
    print_table(("of", "value!", "effect"), rows)


def _print_preset(preset: dict[str, Any]) -> None:
    """Print a preset as a paragraph; lines are not folded, because terminals do that."""
    typer.echo(printable(f"{preset['name']}  {preset['when']}\n    {preset['summary']}\n    Cost: {preset['cost']}.\n"))
