"""Drop files on an X11 window, as a file manager does: the source's side of the XDND protocol, version 5.

Needs python-xlib (`pip install python-xlib`, or python3-xlib of Debian and Ubuntu).
"""

import time
from urllib.parse import quote

from Xlib import X, Xatom, display
from Xlib.protocol import event

VERSION = 5


class Drag:
    """Files held over a window, until they are dropped or the drag ends."""

    def __init__(self, display_name, window, files):
        self.display = display.Display(display_name)
        self.target = self.display.create_resource_object("window", window)
        self.source = self.display.screen().root.create_window(-10, -10, 1, 1, 0, X.CopyFromParent)
        self.uris = "".join(f"file://{quote(str(file))}\r\n" for file in files).encode()
        # Answers of the target, by the name of their message.
        self.answers = {}
        if self.target.get_full_property(self.atom("XdndAware"), X.AnyPropertyType) is None:
            raise RuntimeError("the window takes no dropped files")
        self.source.set_selection_owner(self.atom("XdndSelection"), X.CurrentTime)
        self.send("XdndEnter", VERSION << 24, self.atom("text/uri-list"), 0, 0)

    def atom(self, name):
        return self.display.intern_atom(name)

    def send(self, name, *data):
        data = (32, [self.source.id, *data])
        message = event.ClientMessage(window=self.target, client_type=self.atom(name), data=data)
        self.target.send_event(message, event_mask=X.NoEventMask)
        self.display.flush()

    def move(self, x, y):
        """Hold the files at a position of the screen; returns whether the window would take them there."""
        self.answers.pop("XdndStatus", None)
        self.send("XdndPosition", 0, x << 16 | y, X.CurrentTime, self.atom("XdndActionCopy"))
        status = self.answer("XdndStatus")
        return bool(status and status[1] & 1)

    def drop(self):
        """Let go; returns whether the window has taken the files."""
        self.send("XdndDrop", 0, X.CurrentTime, 0, 0)
        finished = self.answer("XdndFinished")
        self.display.close()
        return bool(finished and finished[1] & 1)

    def answer(self, name, seconds=20):
        """Wait for a message of the window, and give it the names of the files meanwhile."""
        end = time.monotonic() + seconds
        while name not in self.answers and time.monotonic() < end:
            if not self.display.pending_events():
                time.sleep(0.02)
                continue
            got = self.display.next_event()
            if got.type == X.SelectionRequest:
                self.give(got)
            elif got.type == X.ClientMessage:
                self.answers[self.display.get_atom_name(got.client_type)] = list(got.data[1])
        return self.answers.get(name)

    def give(self, request):
        names = self.atom("text/uri-list")
        if request.target == self.atom("TARGETS"):
            request.requestor.change_property(request.property, Xatom.ATOM, 32, [names])
        else:
            request.requestor.change_property(request.property, names, 8, self.uris)
        request.requestor.send_event(event.SelectionNotify(
            time=request.time, requestor=request.requestor, selection=request.selection, target=request.target,
            property=request.property))
        self.display.flush()
