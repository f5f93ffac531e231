"""Webhooks: subscriptions to job events, delivered as signed messages with retries."""
