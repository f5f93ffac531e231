"""Check that the credentials of a URL are percent-encoded, before any library reads it."""

import re


def check_credentials(url: str, delimiters: str) -> None:
    """Raise ValueError if user name or password contain a character that ends them early.

    Every parser then takes a part of the password for the host, the port or the path, and shows it in its errors.

    Args:
        delimiters: characters that end the part with credentials, host and port.
    """
    _, _, rest = url.partition("://")
    authority = re.split(f"[{re.escape(delimiters)}]", rest, maxsplit=1)[0]
    if rest.count("@") > min(authority.count("@"), 1):
        raise ValueError("has an unescaped @, /, ? or # in front of the host; percent-encode the password: %40, %2F, %3F, %23")
