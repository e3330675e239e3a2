# For type checkers; at run time `parampi.noise` is `parampi.diffusion.noise` itself.
from parampi.diffusion.noise import *
