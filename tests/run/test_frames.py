"""How deep the house is: functions of parampi's own between the command line and the user's network."""

from pathlib import Path

import parampi
from parampi.__main__ import main
from tests.small import NETWORK, write_project

WATCHED = (
    NETWORK
    + f'''

class Watched(White):
    """Writes the functions of parampi that are being called, the outermost first."""

    def forward(self, x, noise, condition=None):
        import sys
        from pathlib import Path

        names, frame = [], sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith({str(Path(parampi.__file__).parent)!r}):
                names.append(frame.f_code.co_qualname)
            frame = frame.f_back
        if "draw" in names:  # else a call that is timed
            Path(__file__).with_name("frames").write_text("\\n".join(reversed(names)))
        return super().forward(x, noise, condition)
'''
)


def test_few_functions_lie_between_the_command_line_and_the_network(tmp_path):
    path = write_project(tmp_path, model__network="net.py:Watched")
    (tmp_path / "net.py").write_text(WATCHED)
    assert main(["run", str(path)]) == 0
    names = (tmp_path / "frames").read_text().splitlines()
    assert names[:5] == ["main", "run", "run", "draw", "sample"], names
    assert len(names) <= 11, names
