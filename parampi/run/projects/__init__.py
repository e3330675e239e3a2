"""Projects of `parampi init`: what is needed to draw with a network that somebody else has made, or with a small one of
ours; and the examples."""

from parampi.run.projects.example import example as example
from parampi.run.projects.project import Project as Project
from parampi.run.projects.project import write as write
from parampi.run.projects.recognised import recognised as recognised
from parampi.run.projects.shipped import copy_example as copy_example
from parampi.run.projects.shipped import examples as examples
