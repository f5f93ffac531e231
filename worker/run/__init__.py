"""Run of an attempt: lease, progress reports, scratch folder and finished blocks."""
