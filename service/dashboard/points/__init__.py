"""Measured jobs as points of a chart: quality, speed or size against sparsity, for the pages of models and comparisons."""
