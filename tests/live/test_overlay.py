"""What is drawn over the result."""

import numpy as np

from hybridanim.live import overlay
from hybridanim.live.reference import Hint


def test_the_screen_shows_its_words_and_leaves_the_result_alone(results):
    image = np.full((256, 256, 3), 90, np.uint8)
    before = image.copy()
    plain = overlay.view(image, overlay.Screen())
    assert plain.shape == (480, 480, 3) and np.all(plain == 90)
    for words in (
        overlay.Screen(figures="30 fps"),
        overlay.Screen(notice="gone"),
        overlay.Screen(has_help=True),
        overlay.Screen(is_paused=True),
        overlay.Screen(hint=Hint("good", True)),
    ):
        shown = overlay.view(image, words)
        assert shown.shape == plain.shape and np.any(shown != 90)
    assert np.array_equal(image, before)
    shown = overlay.view(image, overlay.Screen(), overlay.inset_of(results))
    assert np.any(shown[40:140, -100:] != 90) and np.all(shown[-100:, -100:] == 90)
    status = overlay.status_of(overlay.Screen("f", hint=Hint("good", True)))
    assert status == {"figures": "f", "notice": "", "hint": "good", "is_good": True}
