"""report.html: what became of a job, on one page that needs nothing but itself."""

from worker.publishing.report.page import render

__all__ = ["render"]
