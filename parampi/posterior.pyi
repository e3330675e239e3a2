# For type checkers; at run time `parampi.posterior` is `parampi.diffusion.posterior` itself.
from parampi.diffusion.posterior import *
