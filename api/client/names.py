"""Names that the server defines and the client has to know.

A distribution of its own cannot import them from the server; a unit test keeps both equal.
"""

import re
from typing import Literal

#: States that a job never leaves.
TERMINAL_STATES = frozenset({"succeeded", "failed", "canceled", "expired"})
#: What an operator wants of a worker: take jobs, take no more after this one, or hand this one back as well.
DesiredState = Literal["work", "pause", "drain"]
PRESETS = ("classic", "fast", "balanced", "quality")
WEIGHTS = ("auto", "imagenet", "imagenet-8bit", "patch")
#: The characters that no text of a request may have.
UNPRINTABLE = re.compile(r"[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
