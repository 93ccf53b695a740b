"""The pytest plugin, one module per concern.

The order matters: pytest rewrites the assertions of a module while it loads it, and warns of a
module that another one has imported before. So a module comes after those that it imports.
"""

pytest_plugins = [
    "energybench.app.plugin.state",
    "energybench.app.plugin.hangup",
    "energybench.app.plugin.torchrun",
    "energybench.app.plugin.together",
    "energybench.app.plugin.on_cluster",
    "energybench.app.plugin.running",
    "energybench.app.plugin.exporting",
    "energybench.app.plugin.block",
    "energybench.app.plugin.cells",
    "energybench.app.plugin.energy",
    "energybench.app.plugin.flag",
    "energybench.app.plugin.gating",
    "energybench.app.plugin.call_gating",
    "energybench.app.plugin.machine_info",
    "energybench.app.plugin.going_on",
    "energybench.app.plugin.xdist",
]
