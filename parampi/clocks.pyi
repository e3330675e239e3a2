# For type checkers; at run time `parampi.clocks` is `parampi.diffusion.clocks` itself.
from parampi.diffusion.clocks import *
