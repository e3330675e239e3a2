"""Projects of `parampi init`: what is needed to draw with a network that somebody else has made, or with a small one of
ours."""

from parampi.run.projects.example import example as example
from parampi.run.projects.project import Project as Project
from parampi.run.projects.project import write as write
from parampi.run.projects.recognised import recognised as recognised
