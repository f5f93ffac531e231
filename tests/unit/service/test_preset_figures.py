import json
from pathlib import Path
from typing import Any

from service.dashboard.new_job import CARDS
from service.dashboard.preset_figures import DENSE, MEASURED, ratios

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "smollm2-135m.json"
TEXT = "wiki.test.raw"


def test_the_cards_figures_are_those_of_the_benchmark() -> None:
    cells: list[dict[str, Any]] = json.loads(RESULTS.read_text())["cells"]
    found = {(cell["name"], cell["pattern"]): cell["perplexity"][TEXT] for cell in cells}
    assert round(found["dense", ""], 1) == DENSE
    assert tuple(MEASURED) == CARDS
    for preset, row in MEASURED.items():
        for pattern, value in row.items():
            measured = found[preset, pattern]
            assert value == round(measured, 1 if measured < 200 else 0) or value == round(measured)
            assert abs(ratios()[preset][pattern] - measured / found["dense", ""]) < 0.1
