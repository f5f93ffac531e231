"""Shared part of webhooks and triggers: access by tenant, quota, rotating secret, signatures."""
