"""Report of a job (report.html) as one self-contained page."""

from worker.publishing.report.page import render

__all__ = ["render"]
