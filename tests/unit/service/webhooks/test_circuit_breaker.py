"""Circuit breakers: their pauses grow, and a success closes them."""

from service.dispatcher.circuit_breaker import CircuitBreakers, endpoint_of


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pauses_double_up_to_a_quarter_of_an_hour_and_a_success_ends_them() -> None:
    clock = Clock()
    breakers = CircuitBreakers(clock)
    pauses = []
    for _ in range(10):
        breakers.record("a:443", failed_slowly=True)
        pauses.append(breakers.pause("a:443"))
        clock.now += pauses[-1]
    assert pauses == [0, 0, 30, 60, 120, 240, 480, 900, 900, 900]
    assert breakers.pause("b:443") == 0
    breakers.record("a:443", failed_slowly=True)
    breakers.record("a:443", failed_slowly=False)
    assert breakers.pause("a:443") == 0


def test_attempts_that_began_before_a_pause_do_not_prolong_it() -> None:
    breakers = CircuitBreakers(Clock())
    for _ in range(20):
        breakers.record("a:443", failed_slowly=True)
    assert breakers.pause("a:443") == 30


def test_an_endpoint_is_host_and_port_in_any_spelling() -> None:
    assert endpoint_of("https://Example.com/a?b") == endpoint_of("https://example.com/c")
    assert endpoint_of("https://example.com/") != endpoint_of("https://example.com:8443/")
