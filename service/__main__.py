"""The HTTP service: `python -m service`, with the options of uvicorn, such as `--host` and `--port`."""

import sys
from typing import Final

import uvicorn

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the 60 s for which proxies and load balancers keep idle connections: the proxy has to be the one that closes."""
DEFAULTS: Final = (
    *("--factory", "--http", "service.web.http_connection:HttpConnection", "--no-access-log"),
    "--no-proxy-headers",  # the service trusts DSNOT_TRUSTED_PROXIES
    *("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS), "--timeout-graceful-shutdown", "5"),
)


def main() -> None:
    """Run the server; options on the command line take precedence."""
    uvicorn.main([*DEFAULTS, *sys.argv[1:], "service.main:create_app"], prog_name="python -m service")


if __name__ == "__main__":
    main()
