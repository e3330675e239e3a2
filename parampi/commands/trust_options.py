"""Help on the options of verbs that take a configuration from a file somebody may have handed on."""

CONFIG = "Take the configuration from this file of your own, which names the network and the plugins."
TRUST = "Run the network and the plugins that are named, even where they are not the files that were used."
