"""A network call that has begun, and whose fields nobody has read yet."""

from torch import Tensor

from parampi.diffusion.call_queue import CallQueue


class CallUnderWay:
    """A call in a queue; `take` its fields once."""

    def __init__(self, queue: CallQueue, fields: Tensor):
        self.queue, self.mark = queue, queue.mark()
        self.fields: Tensor | None = fields

    def take(self) -> Tensor:
        """Wait for the call, on the device where it has a queue of its own; return its fields (B, *shape). They are not kept
        here, so that a sweep may give their memory back."""
        fields, self.fields = self.fields, None
        assert fields is not None
        self.queue.wait(self.mark, fields)
        return fields
