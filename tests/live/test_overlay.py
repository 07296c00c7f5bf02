"""What is drawn over the result."""

import numpy as np

from hybridanim.live import overlay
from hybridanim.live.reference import Hint


def test_the_overlay_shows_its_text_and_leaves_the_result_alone(results):
    image = np.full((256, 256, 3), 90, np.uint8)
    before = image.copy()
    plain = overlay.draw_overlay(image, overlay.OverlayText())
    assert plain.shape == (480, 480, 3) and np.all(plain == 90)
    for text in (
        overlay.OverlayText(figures="30 fps"),
        overlay.OverlayText(notice="gone"),
        overlay.OverlayText(has_help=True),
        overlay.OverlayText(is_paused=True),
        overlay.OverlayText(hint=Hint("good", True)),
    ):
        shown = overlay.draw_overlay(image, text)
        assert shown.shape == plain.shape and np.any(shown != 90)
    assert np.array_equal(image, before)
    shown = overlay.draw_overlay(image, overlay.OverlayText(), overlay.draw_inset(results))
    assert np.any(shown[40:140, -100:] != 90) and np.all(shown[-100:, -100:] == 90)
    status = overlay.to_status(overlay.OverlayText("f", hint=Hint("good", True)))
    assert status == {"figures": "f", "notice": "", "hint": "good", "is_good": True}
