"""Networks out of files: weights of a class, programs, and modules and folders of other frameworks. Nothing in a file is run
but a program's own operators, and classes of the installed framework that wrote it."""

from parampi.networks.files import FileKind as FileKind
from parampi.networks.files import files_of as files_of
from parampi.networks.files import kind_of as kind_of
from parampi.networks.stated import Stated as Stated
