"""The metrics: one function per file. `plugins.discovery` lists the folder."""
