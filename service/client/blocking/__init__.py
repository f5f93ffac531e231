"""Blocking client, generated from the asyncio client by `make client`."""
