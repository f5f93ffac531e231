"""Lock that prevents a fork while another thread holds locks, which would stay locked in the child."""

import os
import threading
from typing import Final

NO_FORK: Final = threading.RLock()
"""Held by a thread of the parent while it works; `fork` waits for it."""

os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=NO_FORK.release)
