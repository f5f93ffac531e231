"""report.html: what became of a job, on one page that needs nothing but itself."""

from worker.report_page.page import render

__all__ = ["render"]
