"""Asyncio client, the source of the blocking client; after a change run `make client`."""
