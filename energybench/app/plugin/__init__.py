"""The pytest plugin, one module per concern; all other modules build on `session`."""

pytest_plugins = [
    "energybench.app.plugin.state",
    "energybench.app.plugin.running",
    "energybench.app.plugin.cells",
    "energybench.app.plugin.energy",
    "energybench.app.plugin.gating",
    "energybench.app.plugin.torchrun",
    "energybench.app.plugin.machine_info",
    "energybench.app.plugin.xdist",
]
