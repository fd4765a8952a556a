"""The bundled architectures: one function per file. `plugins.discovery` lists the folder."""
