"""A lock against forking while another thread of the parent may hold locks that a child would wait for."""

import os
import threading
from typing import Final

NO_FORK: Final = threading.RLock()
"""Held by a thread of the parent while it works; a child is forked when none holds it."""

os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=NO_FORK.release)
