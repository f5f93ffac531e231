"""Tenants: API keys, sessions, quotas, rate limits and the audit log."""
