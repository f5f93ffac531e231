"""Options of a job's body, as `GET /v1/recipes` returns them."""
