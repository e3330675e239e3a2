# For type checkers; at run time `parampi.guidance` is `parampi.diffusion.guidance` itself.
from parampi.diffusion.guidance import *
