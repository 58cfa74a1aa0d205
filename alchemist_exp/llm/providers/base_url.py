"""Checks the address of a server, `llm.base_url`."""

import re
from urllib.parse import urlsplit

from alchemist_exp.core.errors import ConfigError


def check_base_url(url: str, api_key_env: str) -> None:
    """Check that a text is the address of a server, with a host and, if there is a port, a valid one.

    Args:
        url: The value of llm.base_url.
        api_key_env: The environment variable of the API key, for the message.

    Raises:
        ConfigError: It is not an address, or it may contain a secret.

    """
    if set("@?#") & set(url):
        # The address is not repeated: it may hold a password.
        raise ConfigError(
            f"llm.base_url contains a password, a query or a fragment; remove it and put the key into {api_key_env}."
        )
    try:
        parts = urlsplit(url)
        is_address = bool(re.match(r"https?://\S+$", url) and parts.hostname and parts.port != 0)
    except ValueError:
        is_address = False
    if not is_address:
        raise ConfigError(f"llm.base_url is {url!r}; expected an address like http://127.0.0.1:8000/v1 or https://...")
