"""Operations: start-up checks, liveness, readiness, metrics and `dsnot doctor`."""
