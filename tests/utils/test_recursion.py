import json
import sys

import pytest

from jld.utils.recursion import DEEPEST, recursion_limit


def test_untrusted_text_ends_with_an_error_and_not_with_the_stack():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # what Jittor leaves behind
    try:
        with recursion_limit():
            assert sys.getrecursionlimit() == DEEPEST
            with pytest.raises(RecursionError):
                json.loads("[" * 200_000)
        assert sys.getrecursionlimit() == 10**6
        with pytest.raises(ValueError, match="stop"), recursion_limit():
            raise ValueError("stop")
        assert sys.getrecursionlimit() == 10**6
    finally:
        sys.setrecursionlimit(before)


def test_a_lower_limit_stays():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(900)
    try:
        with recursion_limit():
            assert sys.getrecursionlimit() == 900
    finally:
        sys.setrecursionlimit(before)
