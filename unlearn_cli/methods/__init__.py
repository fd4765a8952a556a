"""The methods: one function per file. `plugins.discovery` lists the folder."""
