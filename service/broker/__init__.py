"""Message broker: its address, the reasons of its errors, and the client."""
