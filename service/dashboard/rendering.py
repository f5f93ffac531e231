"""Page rendering: autoescaped templates, sent with a strict Content-Security-Policy."""

import re
from functools import cache
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from service.contract.continuations import pair_of, summary
from service.dashboard import assets, formats, times
from service.web.proxy_headers import prefix_of

_LOCAL_LINK: Final = re.compile(r'( (?:href|src|action)=")(?=/(?!/))')
"""Attribute with a path of this service; the autoescaping of values leaves no such quotes in text."""

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("service.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    samples = {"continuations": pair_of, "samples_summary": summary}
    environment.filters |= {**formats.FILTERS, **times.FILTERS, **samples}
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.globals["asset"] = assets.address
    return environment


def compile_templates() -> None:
    """Compile all templates ahead of the first request, which would wait some 20 milliseconds per template."""
    for name in _templates().list_templates(extensions=["html"]):
        _templates().get_template(name)


def fragment(template: str, **values: Any) -> Markup:
    """Return a rendered template without layout."""
    return Markup(_templates().get_template(template).render(values))  # noqa: S704  # autoescaped


def page(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Return a rendered page; templates find the signed-in user, if any, as `visitor`."""
    visitor = getattr(request.state, "visitor", None)
    has_help = getattr(request.app.state, "has_help", False)
    found, prefix = _templates().get_template(template), prefix_of(request)
    common = {"visitor": visitor, "path": request.url.path, "prefix": prefix, "has_help": has_help}
    content = found.render(version=request.app.version, **common, **values)
    if prefix:
        content = _LOCAL_LINK.sub(rf"\g<1>{prefix}", content)
    return HTMLResponse(content.encode("utf-8", "replace"), status, {**HEADERS, **(headers or {})})
