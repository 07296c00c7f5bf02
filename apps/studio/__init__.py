"""The subcommand studio: a page in the browser, and its request API.

Gradio reads its environment when it is first imported, so it is set here, which every module of
this package imports before it: nothing is reported, and nothing is fetched, from other machines.
"""

import os

OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
os.environ.update(OFFLINE)
