"""The templates of the dashboard."""

from pathlib import Path

from service.dashboard import rendering


def test_every_template_is_compiled_at_startup() -> None:
    rendering._templates.cache_clear()
    rendering.compile_templates()

    compiled = {name for _, name in rendering._templates().cache or ()}
    assert compiled == {path.name for path in (Path(rendering.__file__).parent / "templates").iterdir()}


def test_scripts_use_the_path_prefix_of_their_page() -> None:
    for script in (Path(rendering.__file__).parent / "static").glob("*.js"):
        text = script.read_text()
        bare = ("fetch(`/", 'fetch("/', "assign(`/", 'assign("/', "href: `/", "href = `/", "EventSource(`/", "location.origin")
        assert script.name == "addresses.js" or [each for each in bare if each in text] == [], script.name
