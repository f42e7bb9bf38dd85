import pytest

from cascade_exit.runs import UserError
from cascade_exit.trace import check_trace

from .builder import CLASSES, random_trace

TRACE = random_trace(0, 4)
RIGHT = {"model": TRACE.header.model, "data": TRACE.header.data, "classes": CLASSES}


def test_the_right_trace_passes():
    check_trace(TRACE, **RIGHT)
    check_trace(TRACE, **RIGHT | {"classes": list(CLASSES)})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "0f" * 8}, "made from other weights .*asked for 0f0f0f0f0f0f0f0f"),
        ({"data": "77"}, r"made from other images or boxes \(fingerprint 5e1, asked for 77\)"),
        ({"classes": CLASSES[:1]}, r"made with 3 class\(es\), asked for 1"),
        ({"classes": (CLASSES[0], CLASSES[2], CLASSES[1])}, "label 2 stands for 'tüv .*asked for 'dining table'"),
        ({"classes": ("Chair", *CLASSES[1:])}, "label 1 stands for 'chair' in it, asked for 'Chair'"),
    ],
)
def test_another_trace_is_refused(wrong, message):
    with pytest.raises(UserError, match=f"^trace of the calibrate role: .*{message}.*; make the trace anew$"):
        check_trace(TRACE, **RIGHT | wrong)


def test_an_empty_trace_is_refused():
    empty = random_trace(1, 0)
    with pytest.raises(UserError, match="holds no image"):
        check_trace(empty, model=empty.header.model, data=empty.header.data, classes=CLASSES)
