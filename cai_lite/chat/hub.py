"""Ask whether the Hugging Face hub can be reached, once and briefly, where the hub's client tries for minutes."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

TIMEOUT = 5.0  # seconds for the hub to answer
LONGEST = 10.0  # seconds in all, also if a name server is silent or the answer drips


def unreachable(model: str) -> str:
    """Return why the hub cannot be asked for this model, or "". It takes at most `LONGEST` seconds."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    found = [f"{constants.ENDPOINT} is silent"]
    asking = threading.Thread(target=lambda: found.insert(0, _asked(model)), daemon=True)
    asking.start()
    asking.join(LONGEST)
    return found[0]


def _asked(model: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils._headers import build_hf_headers

    url = f"{constants.ENDPOINT}/{model}/resolve/main/config.json"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=build_hf_headers(), method="HEAD"), timeout=TIMEOUT
        ):
            return ""
    except urllib.error.HTTPError as error:
        return f"{constants.ENDPOINT} answers {error.code} for {model}"
    except Exception as error:  # no URL, no HTTP
        return f"{constants.ENDPOINT} cannot be reached: {getattr(error, 'reason', error)}"
