"""The real nginx in front of a service, under a path prefix, configured as its documentation suggests."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.embedded.processes import free_port
from tests.support.waiting import CEILING_SECONDS, eventually

NGINX = Path(os.environ.get("DSNOT_NGINX") or "/usr/sbin/nginx")

_CONFIG = """\
daemon off;
{user}
pid {folder}/nginx.pid;
worker_shutdown_timeout 1s;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_max_body_size 100m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  gzip on;
  gzip_proxied any;
  gzip_min_length 1;
  gzip_types application/json;
  server {{
    listen 127.0.0.1:{port};
    location {prefix}/ {{
      proxy_pass {url}{strip};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      {more}
    }}
  }}
}}
"""


@contextmanager
def running(folder: Path, url: str, prefix: str, *, strips: bool, more: str = "") -> Iterator[str]:
    """Yield the proxy's address, with the prefix; skip the test where the program is missing.

    It strips the prefix or passes it on. `more`: directives.
    """
    if not NGINX.exists():  # which only root can install
        pytest.skip(f"{NGINX} is missing: install Debian's nginx, or name another in DSNOT_NGINX")
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    strip = "/" if strips else ""
    config.write_text(_CONFIG.format(user=user, folder=folder, port=port, prefix=prefix, url=url, strip=strip, more=more))
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen([NGINX, "-c", config, "-p", folder], stderr=log)
    try:
        eventually(lambda: (folder / "nginx.pid").exists() or process.poll() is not None)
        assert process.poll() is None, (folder / "nginx.log").read_text()
        yield f"http://127.0.0.1:{port}{prefix}"
    finally:
        process.terminate()
        process.wait(CEILING_SECONDS)


def reload(folder: Path) -> None:
    """Replace the worker processes of a running proxy; the old ones close their connections after a second."""
    subprocess.run([NGINX, "-c", folder / "nginx.conf", "-p", folder, "-s", "reload"], check=True, capture_output=True)
