# For type checkers; at run time `parampi.sigmas` is `parampi.diffusion.sigmas` itself.
from parampi.diffusion.sigmas import *
