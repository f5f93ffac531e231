"""How pages write what they are given."""

import pytest

from service.dashboard.formats import code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("give `ids` once", "give <code>ids</code> once"),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ('`<script>` & "x"', "<code>&lt;script&gt;</code> &amp; &#34;x&#34;"),
        ("<b>no `code` of theirs</b>", "&lt;b&gt;no <code>code</code> of theirs&lt;/b&gt;"),
        ("one ` alone", "one ` alone"),
        ("", ""),
    ],
)
def test_backticks_become_code_and_the_rest_is_text(text: str, shown: str) -> None:
    assert code(text) == shown
