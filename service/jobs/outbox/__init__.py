"""Transactional outbox for messages to the workers."""
