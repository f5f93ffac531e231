"""One attempt at a job: its life cycle and its pipeline of stages."""
