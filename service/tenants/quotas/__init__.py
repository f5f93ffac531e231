"""Quotas per tenant."""
